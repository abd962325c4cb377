/* Heads split and merged: four channels, cut into one, two or four heads, over three places. */
"use strict";

(() => {
  const book = window.attentionBook,
    { element, number } = book,
    maths = book.maths;
  const KEYS = [
    [2, 0, 0, 1],
    [0, 2, 0, -1],
    [0, 0, 2, 0],
  ];
  const VALUES = [
    [8, 4, 0, 0],
    [0, 12, 4, 0],
    [4, 0, 8, 12],
  ];
  const START = [1, 1, 1, 0];

  const NAMES = [
    "Split: query and keys are cut into as many parts as there are heads.",
    "Attend: each head scores the places with its own channels, and has weights of its own.",
    "Average: each head averages its own channels of the values.",
    "Concatenate: the contexts side by side have as many channels as before the split.",
  ];

  const build = (root) => {
    const state = { query: [...START], heads: 2 };
    const output = element("div");
    const steps = book.steps(NAMES, () => draw());
    /* The channels of a vector in boxes, a box for each head. */
    const parts = (vector) =>
      element(
        "span",
        { class: "playground-parts" },
        maths
          .split(vector, state.heads)
          .map((part, head) =>
            element(
              "span",
              { class: `playground-part playground-head-${head}` },
              part.map((x) => number(x, 1)).join(" · "),
            ),
          ),
      );
    const draw = () => {
      const step = steps.current(),
        found = maths.heads(state.query, KEYS, VALUES, state.heads);
      const named = found.parts.map((part, head) => ({ ...part, name: `head ${head + 1}` }));
      const shown = [
        book.table({
          caption: "Channels, cut into heads",
          heads: ["", "query or key", "value"],
          rows: [
            ["query", parts(state.query), ""],
            ...KEYS.map((key, i) => [`place ${i + 1}`, parts(key), parts(VALUES[i])]),
          ],
        }),
      ];
      if (step >= 1) {
        shown.push(
          book.table({
            caption: "Weights of each head, and their mean, which no head has to resemble",
            heads: ["", ...named.map((part) => part.name), "mean of the heads"],
            rows: KEYS.map((_, i) => [
              `place ${i + 1}`,
              ...named.map((part) => element("span", {}, book.bar(part.weights[i]), number(part.weights[i]))),
              element("span", {}, book.bar(found.mean[i]), number(found.mean[i])),
            ]),
          }),
        );
      }
      if (step >= 2) {
        shown.push(
          book.table({
            caption: "Contexts",
            heads: ["", "channels"],
            rows: [
              ...named.map((part, head) => [
                part.name,
                element(
                  "span",
                  { class: `playground-part playground-head-${head}` },
                  part.context.map((x) => number(x)).join(" · "),
                ),
              ]),
              ...(step >= 3
                ? [
                    [
                      "side by side",
                      element(
                        "span",
                        { class: "playground-parts" },
                        named.map((part, head) =>
                          element(
                            "span",
                            { class: `playground-part playground-head-${head}` },
                            part.context.map((x) => number(x)).join(" · "),
                          ),
                        ),
                      ),
                    ],
                  ]
                : []),
            ],
          }),
        );
      }
      output.replaceChildren(...shown);
    };
    root.append(
      book.controls(
        book.choice({
          label: "heads",
          options: { 1: "1", 2: "2", 4: "4" },
          value: "2",
          change: (heads) => {
            state.heads = Number(heads);
            draw();
          },
        }),
        ...START.map((value, channel) =>
          book.slider({
            label: `query, channel ${channel + 1}`,
            min: -3,
            max: 3,
            step: 0.5,
            value,
            format: (x) => number(x, 1),
            change: (x) => {
              state.query[channel] = x;
              draw();
            },
          }),
        ),
      ),
      steps.node,
      output,
    );
    steps.go(0);
  };

  book.heads = { KEYS, VALUES };
  book.playgrounds.heads = build;
})();
