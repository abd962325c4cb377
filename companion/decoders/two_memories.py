"""The LSTM decoder with two memories: the grid of places, and tags, whose words it can point to.

Explained in the chapter on real photographs.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from companion.attention import AdditiveAttention, masked_softmax
from companion.decoders.base import Reading, State
from companion.decoders.lstm import LSTMDecoder
from companion.encoders import Grid, Tags
from companion.vocabulary import Vocabulary

FACTS = 6  # about a tag beside its word: confidence, source and the four sides of its box
FACTS_SCALE = 0.1  # of their first weights; a confidence goes up to 7, and must not drown the word


class TwoMemoryDecoder(LSTMDecoder):
    """An `LSTMDecoder` that attends to the grid and to the tags of a picture, and has a pointer to the tags' words.

    With E the embedding matrix, w_i the word of tag i, f_i its confidence, source and box, and s its confidence alone:

        t_i = E w_i + W_f f_i + b                       the token of the tag, from the word's own embedding
        z = [z', sum_i a_i t_i]                         the context: that of the grid, and that of the tags
        logit(w_i) += (W_p tanh(o)) . t_i + alpha s_i + beta      with o the input of the deep output layer

    The weights a are those of additive attention, with the query that the grid gets. Attention to words beside
    attention to places is that of You et al. (2016, section 3); a pointer that copies a word of the input that of See
    et al. (2017, section 2.2), and a pointer to detected objects that of Lu et al. (2018, section 3.1). Those mix two
    distributions; here the pointer adds to the logits, so one softmax compares all words.

    Tags whose word is not in the vocabulary are masked. A grid that is withheld has no places (`Grid.without_places`),
    tags that are withheld are None: the context of such a memory is zero, and it adds nothing to the initial state.

    Args:
        vocab, channels, hidden: as in `LSTMDecoder`.
        tag_ids: the id in the vocabulary of every word of `tags.TAG_WORDS`, that of `<unk>` if it has none.
        attention, dropout, positions: as in `LSTMDecoder`; `attention` is that to the grid.
    """

    supports_alignment = False
    memories = 2
    tag_ids: Tensor

    def __init__(
        self,
        vocab: int,
        channels: int,
        hidden: int = 512,
        *,
        tag_ids: Int[Tensor, "tag_word"],
        attention: str = "additive",
        dropout: float = 0.5,
        positions: bool = False,
    ):
        super().__init__(vocab, channels, hidden, attention=attention, dropout=dropout, positions=positions)
        self.register_buffer("tag_ids", tag_ids, persistent=False)  # it follows from the vocabulary
        self.tag_facts = nn.Linear(FACTS, hidden)
        nn.init.normal_(self.tag_facts.weight, std=FACTS_SCALE * hidden**-0.5)
        nn.init.zeros_(self.tag_facts.bias)
        self.tag_attention = AdditiveAttention(hidden, hidden, hidden // 2)
        self.pointer = nn.Linear(hidden, hidden, bias=False)
        self.pointer_confidence = nn.Parameter(torch.tensor(0.3))
        self.pointer_bias = nn.Parameter(torch.zeros(()))

    def start(self, grid: Grid) -> State:
        """Return the state before the first word, with the tags in its memory; h and c are made of both memories."""
        values = self.input_proj(grid)
        tags = grid.tags or no_tags(values)
        ids = self.tag_ids[tags.words]
        known = ids > Vocabulary.unk
        tokens = self.embed_tags(ids, tags)
        likely = masked_softmax(tags.confidence, known)
        mean = values.sum(1, keepdim=True) / max(values.shape[1], 1)
        summary = torch.cat([mean, likely.unsqueeze(1) @ tokens], dim=-1)
        state = self.first_state(values, summary)
        keys, tokens = self.tag_attention.prepare(tokens, tokens)
        return state._replace(memory=(*state.memory, keys, tokens, known, ids, tags.confidence))

    def embed_tags(self, ids: Int[Tensor, "batch tag"], tags: Tags) -> Float[Tensor, "batch tag hidden"]:
        """Return the tokens of tags: the embedding of the word, and a projection of what else is known of the tag."""
        confidence, source = tags.confidence.unsqueeze(-1), tags.source.unsqueeze(-1)
        facts = torch.cat([confidence, source.to(confidence), tags.boxes], dim=-1)
        return self.embed(ids) * self.embed_scale + self.tag_facts(facts)

    def attend(self, query: Float[Tensor, "batch beam hidden"], state: State) -> Reading:
        """Return the context of the grid beside that of the tags, and the attention weights of both."""
        keys, tokens, known, *_ = state.memory[2:]
        grid = super().attend(query, state)
        context, tag_weights = self.tag_attention.attend(query, keys, tokens, known.unsqueeze(1))
        return Reading(torch.cat([grid.context, context], dim=-1), grid.weights, tag_weights)

    def next_logits(
        self, output: Float[Tensor, "batch beam *word hidden"], state: State
    ) -> Float[Tensor, "batch beam *word vocab"]:
        """Return the logits of the next word, to which the pointer adds those of the tags' words."""
        _, tokens, known, ids, confidence = state.memory[2:]
        logits = super().next_logits(output, state)
        match = self.pointer(torch.tanh(output)).flatten(1, -2) @ tokens.mT
        bonus = self.pointer_confidence * confidence + self.pointer_bias
        pointed = (match + bonus.unsqueeze(1)).masked_fill(~known.unsqueeze(1), 0.0)
        where = ids.unsqueeze(1).expand(pointed.shape)
        return logits.flatten(1, -2).scatter_add(-1, where, pointed.to(logits.dtype)).view(logits.shape)


def no_tags(like: Float[Tensor, "batch place hidden"]) -> Tags:
    """Return no tags at all for each picture, on the device and in the dtype of a tensor."""
    numbers = like.new_zeros(len(like), 0, 4)
    none = numbers[..., 0].long()
    return Tags(none, numbers[..., 0], none, numbers)
