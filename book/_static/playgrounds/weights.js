/* Weights, one step at a time: drag the query among the keys; see scores, scale, exponentials, weights and context. */
"use strict";

(() => {
  const book = window.attentionBook,
    { element, drawing, number } = book,
    maths = book.maths;
  const KEYS = [
    [2, 0],
    [0.5, 1.5],
    [-0.5, 1.5],
    [-1.5, 1.5],
    [1, -2],
    [-1.5, -0.5],
  ];
  const VALUES = [10, 20, 30, 40, 50, 60];
  const START = [1, 1];
  const EDGE = 2.5,
    SIZE = 300; // of the plane: from -EDGE to EDGE, drawn in SIZE units

  /* All steps for one query: `channels` is 2 times a whole number, `kind` is "dot" or "distance". */
  const attend = ({ kind, query, keys, values, channels, scaled, temperature }) => {
    const times = channels / query.length;
    const scores = maths.scores(
      kind,
      maths.repeat(query, times),
      keys.map((key) => maths.repeat(key, times)),
    );
    const divisor = (scaled ? Math.sqrt(channels) : 1) * temperature;
    const divided = scores.map((score) => score / divisor);
    const exponentials = maths.exponentials(divided),
      total = maths.sum(exponentials);
    const weights = exponentials.map((exponential) => exponential / total);
    return { scores, divided, exponentials, total, weights, context: maths.dot(weights, values) };
  };

  const NAMES = [
    "Scores: the query is compared with every key.",
    "Scale: every score is divided by the same number.",
    "Exponentials: of each score less the largest one, so that the best key has 1.",
    "Sum of the exponentials.",
    "Weights: each exponential divided by the sum.",
    "Context: the average of the values with these weights.",
  ];

  const build = (root, options) => {
    const kind = options.score || "dot";
    const state = { kind, query: [...START], keys: KEYS, values: VALUES, channels: 2, scaled: false, temperature: 1 };

    const place = ([x, y]) => [(x + EDGE) * (SIZE / 2 / EDGE), (EDGE - y) * (SIZE / 2 / EDGE)];
    const discs = KEYS.map((key) =>
      drawing("circle", { class: "playground-weight", cx: place(key)[0], cy: place(key)[1] }),
    );
    const names = KEYS.map((key, i) =>
      drawing("text", { x: place(key)[0], y: place(key)[1] - 6, "text-anchor": "middle" }, String(i + 1)),
    );
    const arrow = drawing("line", { class: "playground-query", x1: SIZE / 2, y1: SIZE / 2 });
    const handle = drawing("circle", {
      r: 12,
      class: "playground-handle",
      tabindex: 0,
      role: "slider",
      "aria-label": "query: arrow keys move it",
    });
    const axes = [
      [0, SIZE / 2, SIZE, SIZE / 2],
      [SIZE / 2, 0, SIZE / 2, SIZE],
    ].map(([x1, y1, x2, y2]) => drawing("line", { class: "playground-axis", x1, y1, x2, y2 }));
    const plane = drawing(
      "svg",
      {
        class: "playground-plane",
        viewBox: `0 0 ${SIZE} ${SIZE}`,
        role: "group",
        "aria-label": "a plane with six numbered keys and the query",
      },
      ...axes,
      ...discs,
      ...names,
      kind === "dot" ? arrow : null,
      handle,
    );

    const output = element("div");
    const steps = book.steps(NAMES, () => draw());
    const draw = () => {
      const [x, y] = place(state.query),
        found = attend(state),
        step = steps.current();
      for (const [name, value] of Object.entries({ cx: x, cy: y })) handle.setAttribute(name, value);
      arrow.setAttribute("x2", x);
      arrow.setAttribute("y2", y);
      handle.setAttribute("aria-valuenow", state.query[0].toFixed(1));
      handle.setAttribute("aria-valuetext", `${number(state.query[0], 1)}, ${number(state.query[1], 1)}`);
      discs.forEach((disc, i) => disc.setAttribute("r", step >= 4 ? 3 + 40 * Math.sqrt(found.weights[i]) : 3));
      const columns = [
        { head: "score", cell: (i) => number(found.scores[i]), total: "" },
        { head: "scaled", cell: (i) => number(found.divided[i]), total: "" },
        { head: "exponential", cell: (i) => number(found.exponentials[i], 3), total: number(found.total, 3) },
        {
          head: "weight",
          cell: (i) => element("span", {}, book.bar(found.weights[i]), number(found.weights[i], 3)),
          total: "1.000",
        },
        {
          head: "weight × value",
          cell: (i) => `${number(found.weights[i], 3)} × ${VALUES[i]}`,
          total: number(found.context),
        },
      ].slice(0, step < 3 ? step + 1 : step);
      const heads = ["key", ...columns.map((column) => column.head)];
      const rows = KEYS.map((key, i) => [
        `${i + 1}: ${key.map((x) => number(x, 1)).join(", ")}`,
        ...columns.map((column) => column.cell(i)),
      ]);
      if (step >= 3) rows.push(["sum", ...columns.map((column) => column.total)]);
      output.replaceChildren(book.table({ caption: "The six keys, step by step", heads, rows }));
    };

    const move = (query) => {
      state.query = query.map((x) => Math.min(EDGE, Math.max(-EDGE, Math.round(10 * x) / 10)));
      draw();
    };
    const pointed = (event) => {
      const box = plane.getBoundingClientRect();
      move([
        ((2 * (event.clientX - box.left)) / box.width - 1) * EDGE,
        (1 - (2 * (event.clientY - box.top)) / box.height) * EDGE,
      ]);
    };
    let dragging = false;
    handle.addEventListener("pointerdown", (event) => {
      dragging = true;
      handle.setPointerCapture(event.pointerId);
    });
    handle.addEventListener("pointermove", (event) => dragging && pointed(event));
    for (const name of ["pointerup", "pointercancel"]) handle.addEventListener(name, () => (dragging = false));
    plane.addEventListener("click", (event) => event.target !== handle && pointed(event));
    handle.addEventListener("keydown", (event) => {
      const far = event.shiftKey ? 0.5 : 0.1,
        [x, y] = state.query;
      const to = {
        ArrowLeft: [x - far, y],
        ArrowRight: [x + far, y],
        ArrowUp: [x, y + far],
        ArrowDown: [x, y - far],
        Home: START,
        Escape: START,
      }[event.key];
      if (!to) return;
      event.preventDefault();
      move(to);
    });

    const widths = [
      book.slider({
        label: "channels",
        min: 1,
        max: 9,
        step: 1,
        value: 1,
        format: (x) => String(2 ** x),
        change: (x) => {
          state.channels = 2 ** x;
          draw();
        },
      }),
      book.tick({
        label: "divide by the root of the channels",
        value: false,
        change: (on) => {
          state.scaled = on;
          draw();
        },
      }),
    ];
    root.append(
      element(
        "div",
        { class: "playground-sides" },
        plane,
        element(
          "div",
          { class: "playground-side" },
          book.slider({
            label: "temperature",
            min: -1.5,
            max: 2,
            step: 0.1,
            value: 0,
            format: (x) => number(10 ** x, 2),
            change: (x) => {
              state.temperature = 10 ** x;
              draw();
            },
          }),
          ...(kind === "dot" ? widths : []),
          book.controls(book.button("Query back to (1, 1)", () => move(START))),
        ),
      ),
      steps.node,
      output,
    );
    steps.go(0);
  };

  book.weights = { attend, KEYS, VALUES };
  book.playgrounds.weights = build;
})();
