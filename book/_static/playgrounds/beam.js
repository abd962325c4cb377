/* Beam search, stepped by hand, on the chapter's table of probabilities, which the reader may change. */
"use strict";

(() => {
  const book = window.attentionBook,
    { element, drawing, number } = book;
  const END = "<end>",
    MAX_WORDS = 20;
  const TABLE = {
    "": { a: 0.6, dogs: 0.4 },
    a: { dog: 0.4, puppy: 0.35, hound: 0.25 },
    "a dog": { runs: 0.6, [END]: 0.4 },
    "a puppy": { runs: 0.7, [END]: 0.3 },
    dogs: { run: 0.7, [END]: 0.3 },
  };

  const text = (words) => words.join(" ");
  const isComplete = (hypothesis) => hypothesis.words.at(-1) === END;
  /* Log-probability divided by a power of the number of words, <end> included. */
  const rank = (hypothesis, power) => hypothesis.logP / hypothesis.words.length ** power;

  /* The best `width` continuations of a hypothesis; a complete one stays as it is; with `last`, only <end> is left. */
  const continuations = (table, hypothesis, width, last) => {
    if (isComplete(hypothesis)) return [hypothesis];
    const row = table[text(hypothesis.words)] || { [END]: 1 };
    return Object.entries(row)
      .filter(([word, p]) => p > 0 && (!last || word === END))
      .sort((a, b) => b[1] - a[1])
      .slice(0, width)
      .map(([word, p]) => ({ words: [...hypothesis.words, word], logP: hypothesis.logP + Math.log(p) }));
  };

  const start = () => ({ beam: [{ words: [], logP: 0 }], candidates: [], steps: 0, done: false });

  /* One step of the search: all candidates, best first, the beam of the best `width`, and whether it may stop. */
  const advance = (table, state, { width, power }) => {
    const last = state.steps === MAX_WORDS;
    const candidates = state.beam
      .flatMap((hypothesis) => continuations(table, hypothesis, width, last))
      .sort((a, b) => rank(b, power) - rank(a, power));
    const beam = candidates.slice(0, width);
    const bound = Math.max(
      ...beam.filter((h) => !isComplete(h)).map((h) => h.logP / (MAX_WORDS + 1) ** power),
      -Infinity,
    );
    const done = last || beam.length === 0 || (isComplete(beam[0]) && rank(beam[0], power) >= bound);
    return { beam, candidates, steps: state.steps + 1, done };
  };

  /* The whole search: its last state. */
  const search = (table, settings) => {
    let state = start();
    while (!state.done) state = advance(table, state, settings);
    return state;
  };

  /* Every caption that the table can generate, most probable first. */
  const everything = (table) => {
    const grow = (hypothesis) =>
      isComplete(hypothesis) || hypothesis.words.length > MAX_WORDS
        ? [hypothesis]
        : continuations(table, hypothesis, Infinity, false).flatMap(grow);
    return grow({ words: [], logP: 0 }).sort((a, b) => b.logP - a.logP);
  };

  /* A tree of all hypotheses that were tried, from left to right. */
  const tree = (tried, kept, best) => {
    const WIDE = 88,
      HIGH = 40,
      rows = new Map();
    let row = 0;
    const children = (words) =>
      tried.filter((h) => h.words.length === words.length + 1 && text(h.words.slice(0, -1)) === text(words));
    const settle = (words) => {
      const below = children(words).map((h) => settle(h.words));
      const own = below.length ? (below[0] + below.at(-1)) / 2 : row++;
      rows.set(text(words), own);
      return own;
    };
    settle([]);
    const depth = Math.max(0, ...tried.map((h) => h.words.length));
    const middle = (words) => [words.length * WIDE + 10, rows.get(text(words)) * HIGH + HIGH / 2];
    const fate = (name) =>
      best !== null && `${best} `.startsWith(`${name} `) ? "best" : kept.has(name) ? "kept" : "dropped";
    const nodes = tried.map((h) => {
      const [x, y] = middle(h.words);
      const [px, py] = middle(h.words.slice(0, -1));
      return drawing(
        "g",
        { class: `playground-node playground-${fate(text(h.words))}` },
        drawing("line", { x1: h.words.length === 1 ? px : px + 34, y1: py, x2: x - 34, y2: y }),
        drawing("rect", { x: x - 34, y: y - 17, width: 68, height: 34, rx: 6 }),
        drawing("text", { x, y: y - 2, "text-anchor": "middle" }, h.words.at(-1)),
        drawing("text", { x, y: y + 12, "text-anchor": "middle" }, number(Math.exp(h.logP), 3)),
      );
    });
    const [width, height] = [depth * WIDE + 54, Math.max(1, row) * HIGH];
    const label = tried
      .map((h) => `${text(h.words)}, ${number(Math.exp(h.logP), 3)}, ${fate(text(h.words))}`)
      .join("; ");
    const viewBox = `0 0 ${width} ${height}`;
    return element(
      "div",
      { class: "playground-table", tabindex: 0, role: "region", "aria-label": "The hypotheses so far as a tree" },
      drawing("svg", { class: "playground-tree", width, height, viewBox, role: "img", "aria-label": label }, ...nodes),
    );
  };

  const build = (root) => {
    const settings = { width: 2, power: 0 };
    const typed = structuredClone(TABLE);
    let history = [start()];
    /* Rows are divided by their sums, so that they stay probabilities. */
    const table = () =>
      Object.fromEntries(
        Object.entries(typed).map(([so, row]) => {
          const total = Object.values(row).reduce((a, b) => a + b, 0);
          return [
            so,
            Object.fromEntries(
              Object.entries(row).map(([word, p]) => [word, total > 0 ? p / total : 1 / Object.keys(row).length]),
            ),
          ];
        }),
      );
    const output = element("div"),
      said = book.live();
    const draw = () => {
      const state = history.at(-1),
        kept = new Set(history.flatMap(({ beam }) => beam.map((h) => text(h.words))));
      const tried = [
        ...new Map(history.flatMap(({ candidates }) => candidates.map((h) => [text(h.words), h]))).values(),
      ];
      const best = state.done && state.beam.length ? text(state.beam[0].words) : null;
      back.disabled = again.disabled = history.length === 1;
      next.disabled = toEnd.disabled = state.done;
      const most = everything(table())[0];
      said.textContent =
        history.length === 1
          ? "The beam holds one hypothesis without any word. Press “Next step”."
          : `Step ${history.length - 1}: ${state.candidates.length} candidates, ${state.beam.length} kept.` +
            (best === null
              ? ""
              : ` Finished with “${best}”, probability ${number(Math.exp(state.beam[0].logP), 3)}.` +
                (text(most.words) === best
                  ? " No caption of the table is more probable."
                  : ` The most probable caption is “${text(most.words)}”, ${number(Math.exp(most.logP), 3)}.`));
      output.replaceChildren(
        ...(tried.length ? [tree(tried, kept, best)] : []),
        ...(state.candidates.length
          ? [
              book.table({
                caption: `Candidates of step ${history.length - 1}, best first`,
                heads: ["hypothesis", "probability", "log P", "score", ""],
                rows: state.candidates.map((h, i) => [
                  text(h.words),
                  number(Math.exp(h.logP), 3),
                  number(h.logP),
                  number(rank(h, settings.power)),
                  i < settings.width ? "keep" : "drop",
                ]),
              }),
            ]
          : []),
      );
    };
    const restart = () => {
      history = [start()];
      draw();
    };
    const step = () => {
      history.push(advance(table(), history.at(-1), settings));
    };
    const next = book.button("Next step", () => {
      step();
      draw();
    });
    const toEnd = book.button("To the end", () => {
      while (!history.at(-1).done) step();
      draw();
    });
    const back = book.button("Back", () => {
      history.pop();
      draw();
    });
    const again = book.button("Start again", restart);
    const cell = (so, word) =>
      element(
        "label",
        { class: "playground-probability" },
        word,
        element("input", {
          type: "number",
          min: 0,
          max: 1,
          step: 0.01,
          value: typed[so][word],
          "aria-label": `probability of ${word} after ${so || "nothing"}`,
          oninput: (event) => {
            typed[so][word] = Math.min(1, Math.max(0, Number(event.target.value) || 0));
            restart();
          },
        }),
      );
    root.append(
      book.controls(
        book.slider({
          label: "beam width",
          min: 1,
          max: 7,
          step: 1,
          value: 2,
          change: (x) => {
            settings.width = x;
            restart();
          },
        }),
        book.slider({
          label: "length power α",
          min: 0,
          max: 2,
          step: 0.25,
          value: 0,
          format: (x) => number(x),
          change: (x) => {
            settings.power = x;
            restart();
          },
        }),
      ),
      book.controls(next, back, toEnd, again),
      said,
      output,
      element(
        "details",
        {},
        element("summary", {}, "Change the table (each row is divided by its sum)"),
        element(
          "ul",
          { class: "playground-rows" },
          Object.keys(typed).map((so) =>
            element(
              "li",
              {},
              element("span", {}, so || "(nothing)"),
              Object.keys(typed[so]).map((word) => cell(so, word)),
            ),
          ),
        ),
      ),
    );
    draw();
  };

  book.beam = { TABLE, search, everything };
  book.playgrounds.beam = build;
})();
