/* BLEU and CIDEr-D of a sentence that the reader types, against the five references of a picture. */
"use strict";

(() => {
  const book = window.attentionBook,
    { element, number } = book,
    metrics = book.metrics;
  const MARKED = 200; // words of the sentence that are marked one by one
  const CORPUS = {
    "a dog at the sea": [
      "a brown dog runs along the beach",
      "a dog is running on wet sand near the water",
      "the dog races across the sand",
      "a wet dog runs beside the waves",
      "a brown dog with a red collar runs at the beach",
    ],
    "two children and a kite": [
      "two children fly a kite in a park",
      "a boy and a girl are flying a red kite",
      "two kids hold the string of a kite",
      "a kite is flown by two children on the grass",
      "children playing with a kite in a green field",
    ],
    "a man on a bicycle": [
      "a man rides a bicycle down a busy street",
      "a cyclist in a yellow jacket rides past a bus",
      "a man on a bike in city traffic",
      "the man is riding his bike beside a red bus",
      "a person with a helmet cycles along the road",
    ],
    "a cat on a sofa": [
      "a grey cat sleeps on a sofa",
      "the cat is asleep on a blue couch",
      "a cat lies curled up on the couch",
      "a sleeping cat on a sofa beside a cushion",
      "a grey cat takes a nap in the living room",
    ],
    "boats in a harbour": [
      "small boats lie in a quiet harbour",
      "several boats are tied up at the pier",
      "a row of white boats on calm water",
      "fishing boats rest in the harbour at sunset",
      "boats beside a wooden pier in the evening",
    ],
    "a woman at a market": [
      "a woman buys apples at a market",
      "a woman in a green coat chooses fruit at a stall",
      "a customer looks at apples on a market stand",
      "the woman is shopping for fruit outside",
      "a woman picks red apples from a wooden box",
    ],
  };

  /* All scores of a sentence for one of the pictures. */
  const score = (sentence, picture) => {
    const corpus = Object.values(CORPUS).map((references) => references.map(metrics.tokenize));
    const references = CORPUS[picture].map(metrics.tokenize),
      words = metrics.tokenize(sentence);
    const { counted, brevity, scores } = metrics.bleu(words, references);
    return {
      words,
      counted,
      brevity,
      bleu: scores,
      rougeL: metrics.rougeL(words, references),
      ciderD: metrics.ciderD(words, references, metrics.frequencies(corpus)),
    };
  };

  const build = (root) => {
    const names = Object.keys(CORPUS),
      id = book.newId("playground-sentence");
    let picture = names[0];
    const input = element("input", {
      id,
      type: "text",
      maxlength: 2000,
      spellcheck: "false",
      value: "a dog runs on the beach",
      oninput: () => draw(),
    });
    const list = element("ul", { class: "playground-references" }),
      said = book.live(),
      output = element("div");
    const marked = (words, known) =>
      words.map((word) => [element("span", { class: known.has(word) ? "playground-known" : null }, word), " "]);
    const draw = () => {
      const found = score(input.value, picture);
      const known = new Set(CORPUS[picture].flatMap(metrics.tokenize)),
        own = new Set(found.words);
      list.replaceChildren(
        ...CORPUS[picture].map((reference) => element("li", {}, marked(metrics.tokenize(reference), own))),
      );
      said.replaceChildren(
        found.words.length ? "Words of your sentence: " : "Your sentence has no word.",
        ...marked(found.words.slice(0, MARKED), known).flat(),
        found.words.length > MARKED ? "…" : "",
      );
      output.replaceChildren(
        book.table({
          caption: "Scores",
          heads: ["metric", "score", "from 0 to"],
          rows: [
            ...found.bleu.map((x, i) => [`BLEU-${i + 1}`, number(x, 3), "1"]),
            ["ROUGE-L", number(found.rougeL, 3), "1"],
            ["CIDEr-D", number(found.ciderD, 3), "10"],
          ],
        }),
        book.table({
          caption: `Where BLEU comes from; brevity penalty ${number(found.brevity, 3)}`,
          heads: ["n", "matches", "n-grams of the sentence"],
          rows: found.counted.map(({ matches, total }, i) => [String(i + 1), String(matches), String(total)]),
        }),
      );
    };
    root.append(
      book.controls(
        book.choice({
          label: "picture",
          options: Object.fromEntries(names.map((name) => [name, name])),
          value: picture,
          change: (name) => {
            picture = name;
            draw();
          },
        }),
      ),
      element("p", { class: "playground-note" }, "Its five references; words that your sentence has too are marked."),
      list,
      element(
        "div",
        { class: "playground-control playground-wide" },
        element("label", { for: id }, "your caption"),
        input,
      ),
      said,
      element("div", { class: "playground-sides" }, output),
    );
    draw();
  };

  book.scoring = { CORPUS, score };
  book.playgrounds.scoring = build;
})();
