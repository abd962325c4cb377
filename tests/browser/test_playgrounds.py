"""The playgrounds compute what PyTorch and the companion compute, and answer to mouse, touch and keyboard."""

import math
import random
import re
from pathlib import Path

import pytest
import torch

from companion import attention, decoding, metrics
from companion.decoders import State, Step
from companion.tokenizer import ENGLISH
from companion.vocabulary import SPECIALS, Vocabulary
from tests.browser import site
from tools import page_browser
from tools.playgrounds import PLAYGROUNDS

WORDS = "a b c d".split()
VOCABULARY = Vocabulary([*SPECIALS, *WORDS])
HOSTILE = (
    "<script>window.entered = true</script>",
    "<img src=x onerror='window.entered=true'> \"quoted\" 'twice' &amp;",
    "‮שלום עולם مرحبا",
    "🐶🏽‍🦱 a dog’s 🎉 naïve café ①½ İstanbul",
    "dog " * 25_000,
    "a" * 100_000,
)


def built(folder: Path, text: str) -> Path:
    """Return the page that Sphinx makes of a text, with the book's theme and static files."""
    (folder / "index.md").write_text(text, encoding="utf-8")
    (folder / "conf.py").write_text(
        'extensions = ["myst_parser", "tools.playgrounds"]\nmyst_enable_extensions = ["colon_fence"]\n'
        f'html_theme = "sphinx_book_theme"\nhtml_static_path = [{str(site.ROOT / "book" / "_static")!r}]\n'
    )
    return site.build(folder)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    blocks = (f":::{{playground}} {name}\nOne can play with {name} here.\n:::\n" for name in PLAYGROUNDS)
    return built(tmp_path_factory.mktemp("playgrounds"), "# Playgrounds\n\n" + "\n".join(blocks))


@pytest.fixture(scope="module")
def functions(chromium, path):
    """The page for tests that only call its functions, opened once."""
    with page_browser.opened(chromium, path, width=1280, theme="light") as (view, errors, _):
        yield view
    assert errors == []


def call(page, function: str, *arguments):
    return page.evaluate(f"(arguments) => attentionBook.{function}(...arguments)", list(arguments))


def close(found, expected, atol: float = 1e-5) -> bool:
    return torch.allclose(torch.tensor(found, dtype=torch.float64), expected.double(), atol=atol, equal_nan=True)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


# The numbers


def test_weights_are_those_of_pytorch(functions):
    torch.manual_seed(0)
    for scale in (1, 10, 500):
        scores = scale * normal(9)
        weights = scores.softmax(-1)
        assert close(call(functions, "maths.softmax", scores.tolist()), weights)
        assert math.isclose(
            call(functions, "maths.entropy", weights.tolist()), torch.special.entr(weights).sum().item(), abs_tol=1e-9
        )
        jacobian = torch.autograd.functional.jacobian(lambda s: s.softmax(-1), scores)
        assert math.isclose(
            call(functions, "maths.jacobianNorm", weights.tolist()), jacobian.norm().item(), abs_tol=1e-9
        )


@pytest.mark.parametrize("scaled", [False, True])
def test_the_steps_of_attention_are_those_of_the_companion(functions, scaled):
    torch.manual_seed(1)
    for channels in (2, 8, 512):
        query, keys, values = normal(1, 2), normal(6, 2), normal(6, 1)
        wide = query.repeat(1, channels // 2), keys.repeat(1, channels // 2), values
        settings = {
            "query": query[0].tolist(), "keys": keys.tolist(), "values": values[:, 0].tolist(),
            "channels": channels, "scaled": scaled, "temperature": 1,
        }  # fmt: skip
        mechanism = attention.scaled_dot_product if scaled else attention.dot_product
        context, weights = mechanism(*wide)
        found = call(functions, "weights.attend", settings | {"kind": "dot"})
        assert close(found["weights"], weights[0])
        assert math.isclose(found["context"], context.item(), abs_tol=1e-5)
        found = call(functions, "weights.attend", settings | {"kind": "distance", "scaled": False, "temperature": 0.3})
        scores = -(wide[0] - wide[1]).square().sum(-1) / 0.3
        context, weights = attention.attention_pooling(scores[None], values)
        assert close(found["weights"], weights[0])
        assert math.isclose(found["context"], context.item(), abs_tol=1e-5)


def test_masks_act_as_in_the_chapter(functions):
    torch.manual_seed(2)
    scores, mask = normal(8, 5), torch.rand(8, 5) < 0.5
    mask[0], mask[1] = False, True
    expected = {
        "infinity": scores.masked_fill(~mask, -torch.inf).softmax(-1),
        "constant": scores.masked_fill(~mask, -1e9).softmax(-1),
        "late": scores.softmax(-1) * mask,
        "zeros": attention.masked_softmax(scores, mask),
    }
    for way, weights in expected.items():
        found = functions.evaluate(  # JSON has no NaN, Playwright's own format has
            "([way, scores, mask]) => attentionBook.masks.attend(way, scores, mask)",
            [way, scores.tolist(), mask.tolist()],
        )
        assert close(found, weights), way


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_heads_are_those_of_pytorch(functions, heads):
    torch.manual_seed(3)
    query, keys, values = normal(1, 4), normal(7, 4), normal(7, 4)
    module = torch.nn.MultiheadAttention(4, heads, bias=False, dtype=torch.float64)
    with torch.no_grad():  # projections that change nothing
        module.in_proj_weight.copy_(torch.eye(4).repeat(3, 1))
        module.out_proj.weight.copy_(torch.eye(4))
        context, weights = module(query, keys, values, average_attn_weights=False)
    found = call(functions, "maths.heads", query[0].tolist(), keys.tolist(), values.tolist(), heads)
    assert close([part["weights"] for part in found["parts"]], weights[:, 0])
    assert close(found["mean"], weights[:, 0].mean(0))
    assert close(found["context"], context[0])


def test_draws_have_the_variance_d_and_what_the_softmax_makes_of_them_is_right(functions):
    for d in (1, 64, 1024):
        scores = torch.tensor([call(functions, "saturation.draw", seed, d) for seed in range(150)])
        assert 0.75 < scores.var().item() / d < 1.3  # 1,200 products; their queries are shared by eight
        found = call(functions, "saturation.measure", scores[0].tolist(), math.sqrt(d))
        divided = scores[0].double() / math.sqrt(d)
        assert close(found["weights"], divided.softmax(-1))
        assert math.isclose(found["deviation"], divided.std().item(), rel_tol=1e-5)
    assert call(functions, "saturation.draw", 7, 4) == call(functions, "saturation.draw", 7, 4)


class Table(dict):
    """A model that looks its probabilities up, for the companion's search."""

    def start(self, pictures):
        return State(memory=(), carry=(torch.zeros(pictures, 1, 0).long(),))

    def step(self, tokens, state):
        ids = torch.cat([state.carry[0], tokens[..., None]], -1)
        rows = [[self.row(x) for x in beam] for beam in ids.tolist()]
        log_p = torch.tensor(rows, dtype=torch.float64).log()
        return Step(log_p, torch.ones(*tokens.shape, 1), State(memory=(), carry=(ids,)))

    def row(self, ids):
        row = self.get(" ".join(VOCABULARY.words[i] for i in ids[1:]), {"<end>": 1})
        return [row.get(word, 0.0) for word in VOCABULARY.words]


def random_table(rng: random.Random) -> dict[str, dict[str, float]]:
    beginnings = ["", *WORDS, *(f"{one} {other}" for one in WORDS for other in WORDS)]
    table = {}
    for so_far in beginnings:
        numbers = [rng.random() ** 2 + 0.01 for _ in range(len(WORDS) + 1)]
        table[so_far] = dict(zip([*WORDS, "<end>"], (x / sum(numbers) for x in numbers), strict=True))
    return table


@pytest.mark.parametrize("power", [0.0, 0.75, 1.5])
def test_the_beam_finds_what_the_companion_finds(functions, power):
    rng = random.Random(4)
    for width in (1, 2, 3, 5):
        table = random_table(rng)
        expected = decoding.beam_search(Table(table), 1, VOCABULARY, width, length_power=power)[0]
        found = call(functions, "beam.search", table, {"width": width, "power": power})["beam"][0]
        assert found["words"] == [*expected.words, "<end>"]
        assert math.isclose(found["logP"], expected.log_probability, rel_tol=1e-5)


def test_all_captions_of_a_table_are_found_and_their_probabilities_sum_to_one(functions):
    captions = call(functions, "beam.everything", random_table(random.Random(5)))
    assert len(captions) == 1 + 4 + 16 + 64
    assert math.isclose(sum(math.exp(caption["logP"]) for caption in captions), 1)
    assert captions == sorted(captions, key=lambda caption: -caption["logP"])


def test_the_table_is_the_one_of_the_chapter(functions):
    text = (site.ROOT / "book" / "text" / "12_decoding.md").read_text(encoding="utf-8")
    source = re.search(r"^TABLE = (\{.*?^\})", text, re.DOTALL | re.MULTILINE)
    assert functions.evaluate("attentionBook.beam.TABLE") == eval(source[1], {})


def test_words_are_those_of_the_tokenizer(functions):
    rng = random.Random(6)
    letters = "abzéñßσςΣİıÅ가漢אم0９①½'’-_ .,!?🎉‮\u0301\u200d"
    random_texts = ["".join(rng.choices(letters, k=40)) for _ in range(300)]
    for text in (*random_texts, *HOSTILE, "The dog's t-shirt isn't 's 'tis rock-'n'-roll dogs'"):
        assert call(functions, "metrics.tokenize", text) == ENGLISH.tokenize(text), text


def test_scores_are_those_of_the_companion(functions):
    rng = random.Random(7)
    corpus = functions.evaluate("attentionBook.scoring.CORPUS")
    assert {len(references) for references in corpus.values()} == {5}
    references = metrics.References(list(corpus.values()))
    words = sorted({word for lines in references.words for line in lines for word in line})
    for _ in range(40):
        index = rng.randrange(len(corpus))
        mixed = [*references.words[index][rng.randrange(5)], *rng.choices(words, k=rng.randrange(6)), "unseen"]
        rng.shuffle(mixed)
        start = rng.randrange(len(mixed))
        for sentence in (" ".join(mixed[start:]), references.captions[index][0], ""):
            found = call(functions, "scoring.score", sentence, list(corpus)[index])
            own = references.take([index])
            assert found["bleu"] == pytest.approx(metrics.bleu([sentence], own))
            assert found["rougeL"] == pytest.approx(metrics.rouge_l_each([sentence], own)[0])
            assert found["ciderD"] == pytest.approx(metrics.cider_d_each([sentence], own)[0])


# Under the finger


def play(page, name: str):
    return page.locator(f"[data-playground={name}]")


def context(page) -> str:
    """Return the last cell of the table of the weights."""
    return play(page, "weights").locator("tbody tr").last.locator("td").last.inner_text()


def drag(page, locator, right: float, down: float, *, touch: bool) -> None:
    """Move what a locator finds by some pixels, with the mouse or with a finger."""
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    if not touch:
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + right, y + down, steps=4)
        page.mouse.up()
        return
    session = page.context.new_cdp_session(page)
    points = [(x + right * part / 4, y + down * part / 4) for part in range(5)]
    for kind, (px, py) in zip(("touchStart", *["touchMove"] * 4), points, strict=True):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": px, "y": py}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


@pytest.mark.parametrize("touch", [False, True], ids=["mouse", "finger"])
def test_the_query_is_dragged(page, touch):
    weights = play(page, "weights")
    weights.get_by_role("button", name="All steps").click()
    before, handle = context(page), weights.get_by_role("slider", name="query: arrow keys move it")
    drag(page, handle, -90, 30, touch=touch)
    assert context(page) != before
    assert handle.get_attribute("aria-valuetext") != "1.0, 1.0"
    weights.get_by_role("button", name="Query back").click()
    assert context(page) == before
    assert handle.get_attribute("aria-valuetext") == "1.0, 1.0"


def test_the_query_moves_by_keys_and_comes_back_by_escape(page):
    handle = play(page, "weights").get_by_role("slider", name="query: arrow keys move it")
    handle.focus()
    for key in ("ArrowLeft", "Shift+ArrowUp"):
        page.keyboard.press(key)
    assert handle.get_attribute("aria-valuetext") == "0.9, 1.5"
    page.keyboard.press("Escape")
    assert handle.get_attribute("aria-valuetext") == "1.0, 1.0"


def test_one_step_at_a_time(page):
    weights = play(page, "weights")
    for count in (2, 3, 4, 4, 5, 6):  # columns
        assert weights.locator("thead th").count() == count
        if count < 6:
            weights.get_by_role("button", name="Next step").press("Enter")
    assert weights.get_by_role("button", name="Next step").is_disabled()
    expected = call(page, "weights.attend", {
        "kind": "dot", "query": [1, 1], "keys": page.evaluate("attentionBook.weights.KEYS"),
        "values": page.evaluate("attentionBook.weights.VALUES"), "channels": 2, "scaled": False, "temperature": 1,
    })  # fmt: skip
    assert context(page) == f"{expected['context']:.2f}"


def test_temperature_and_channels_move_by_keys(page):
    weights = play(page, "weights")
    weights.get_by_role("button", name="All steps").click()
    before = context(page)
    for name in ("temperature", "channels"):
        weights.get_by_role("slider", name=name).press("ArrowRight")
        after, before = context(page), before
        assert after != before
        before = after


def test_a_mask_is_toggled_and_an_empty_row_is_named(page):
    masks = play(page, "masks")
    cell = masks.get_by_role("button", name="<start> attends to <start>")
    assert cell.get_attribute("aria-pressed") == "true"
    cell.click()
    assert cell.get_attribute("aria-pressed") == "false"
    assert "Rows whose weights do not sum to one: <start>" in masks.get_by_role("status").inner_text()
    assert "nan" in cell.inner_text()
    masks.get_by_role("combobox").select_option("constant")
    assert "Hidden cells with a weight: 5" in masks.get_by_role("status").inner_text()
    cell.press("ArrowDown")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("a attends to <start>")
    below = masks.get_by_role("button", name="a attends to <start>")
    for key, pressed in (("Enter", "false"), ("Space", "true")):
        page.keyboard.press(key)
        assert below.get_attribute("aria-pressed") == pressed


def test_heads_are_split_and_merged(page):
    heads = play(page, "heads")
    heads.get_by_role("button", name="All steps").click()
    two = heads.locator("table").last.inner_text()
    heads.get_by_role("combobox", name="heads").select_option("4")
    assert heads.locator("table").nth(1).locator("thead th").count() == 5
    assert heads.locator("table").last.inner_text() != two
    heads.get_by_role("slider", name="query, channel 1").press("End")
    heads.get_by_role("button", name="Back").click()
    assert heads.get_by_role("status").inner_text().startswith("Step 3 of 4")


def test_many_channels_saturate_and_the_root_repairs_it(page):
    saturation = play(page, "saturation")
    status, draw = saturation.get_by_role("status"), saturation.get_by_role("button", name="Draw again")
    saturation.get_by_role("slider", name="channels d").press("End")
    for _ in range(20):
        draw.click()
        if "Saturated" in status.inner_text():
            break
    assert "Saturated" in status.inner_text()
    saturation.get_by_role("combobox").select_option("root")
    assert "Saturated" not in status.inner_text()
    before = saturation.locator("table").inner_text()
    draw.click()
    assert saturation.locator("table").inner_text() != before


def test_the_beam_is_stepped_there_and_back(page):
    beam, status = play(page, "beam"), play(page, "beam").get_by_role("status")
    beam.get_by_role("button", name="Next step").click()
    beam.get_by_role("button", name="Next step").press("Enter")
    assert [row.split("\t")[0] for row in beam.locator("tbody tr").all_inner_texts()][:2] == ["dogs run", "a dog"]
    beam.get_by_role("button", name="Back").click()
    assert beam.locator("tbody tr").count() == 2
    beam.get_by_role("button", name="To the end").click()
    assert "“dogs run <end>”, probability 0.280. No caption of the table is more probable." in status.inner_text()
    assert "a dog, 0.240, kept; a puppy, 0.210, dropped" in beam.get_by_role("img").get_attribute("aria-label")
    beam.get_by_role("slider", name="beam width").press("Home")
    beam.get_by_role("button", name="To the end").click()
    assert "“a dog runs <end>”, probability 0.144. The most probable caption is “dogs run <end>”" in status.inner_text()


def test_the_exercise_of_the_missed_caption_can_be_played(page):
    beam = play(page, "beam")
    beam.locator("summary").click()
    beam.get_by_label("probability of run after dogs").fill("0.52")
    beam.get_by_label("probability of <end> after dogs").fill("0.48")
    beam.get_by_role("button", name="To the end").click()
    said = beam.get_by_role("status").inner_text()
    assert "“a puppy runs <end>”, probability 0.147. The most probable caption is “dogs run <end>”, 0.208" in said
    beam.get_by_label("probability of run after dogs").fill("-7e9")
    beam.get_by_label("probability of <end> after dogs").fill("")
    beam.get_by_role("button", name="To the end").click()
    assert "Finished" in beam.get_by_role("status").inner_text()


def test_a_sentence_is_scored_as_it_is_typed(page):
    scoring = play(page, "scoring")
    box = scoring.get_by_label("your caption")
    box.fill("a brown dog runs along the beac")
    before = scoring.locator("table").first.inner_text()
    box.press("End")
    page.keyboard.type("h")
    assert scoring.locator("table").first.inner_text() != before
    row = scoring.locator("tbody tr").first.inner_text().split("\t")
    assert row == ["BLEU-1", "1.000", "1"]
    scoring.get_by_role("combobox").select_option("a cat on a sofa")
    assert scoring.locator("tbody tr").first.inner_text().split("\t")[1] < "0.5"


@pytest.mark.parametrize(
    ("name", "control"),
    [
        ("weights", "Next step"),
        ("saturation", "Draw again"),
        ("masks", "a attends to a:"),
        ("heads", "Next step"),
        ("beam", "Next step"),
    ],
)
def test_a_finger_does_what_the_mouse_does(phone, name, control):
    button, before = play(phone, name).get_by_role("button", name=control), play(phone, name).inner_text()
    button.tap()
    assert play(phone, name).inner_text() != before


def test_a_finger_can_begin_to_type(phone):
    box = play(phone, "scoring").get_by_label("your caption")
    box.tap()
    assert box.evaluate("element => element === document.activeElement")


def test_hostile_text_stays_text(page):
    scoring = play(page, "scoring")
    for text in HOSTILE:
        scoring.get_by_label("your caption").fill(text)
        assert page.evaluate("window.entered") is None
        assert scoring.locator("script, img").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert scoring.locator("tbody tr").count() == 10


# On every screen


def unfold(page) -> None:
    """Show all steps of every playground."""
    for button in page.get_by_role("button", name=re.compile("All steps|To the end")).all():
        button.click()
    page.locator("[data-playground=beam] summary").click()


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_overflows_and_every_target_is_large(open_page, path, width):
    page, errors, requests = open_page(path, width=width)
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    controls = page.locator("[data-playground] :is(button, input, select, summary)")
    assert site.small_targets(controls) == []
    inside = "all => all.filter(e => !e.closest('.playground-table')).map(e => e.getBoundingClientRect().right)"
    right = page.locator(".playground").first.evaluate("e => e.getBoundingClientRect().right")
    assert max(controls.evaluate_all(inside)) <= right
    assert errors == []
    assert requests == []


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing(open_page, path, width, theme):
    page, _, _ = open_page(path, width=width, theme=theme)
    unfold(page)
    assert site.faults(page, ".playground") == []


def test_the_accessibility_tree_names_every_control(page):
    for name in PLAYGROUNDS:
        tree = play(page, name).aria_snapshot()
        controls = re.findall(r"^\s*- (?:button|slider|combobox|checkbox|textbox|spinbutton)(.*)$", tree, re.MULTILINE)
        assert controls
        assert [control for control in controls if not re.match(r' "[^"]', control)] == []


def test_without_javascript_the_page_says_what_was_there(chromium, path):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    text = page.locator("[data-playground=beam]").inner_text()
    assert "One can play with beam here." in text
    assert "It needs JavaScript" in text
    context.close()


# The directive


def test_a_page_has_only_the_scripts_that_it_needs(tmp_path):
    text = built(tmp_path, "# One\n\n:::{playground} beam\nStep.\n:::\n").read_text()
    assert re.findall(r"playgrounds/(\w+)\.js", text) == ["core", "maths", "beam"]
    (tmp_path / "none").mkdir()
    assert "playground" not in built(tmp_path / "none", "# None\n").read_text()


@pytest.mark.parametrize("block", [":::{playground} none\nText.\n:::", ":::{playground} beam\n:::"])
def test_an_unknown_name_and_an_empty_body_stop_the_build(tmp_path, block):
    with pytest.raises(AssertionError, match=r"no playground is called|content required|Content block expected"):
        built(tmp_path, f"# One\n\n{block}\n")
