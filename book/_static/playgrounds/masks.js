/* Masks toggled: five words attend to five words; press a cell to allow or forbid it. */
"use strict";

(() => {
  const book = window.attentionBook,
    { element, number } = book,
    maths = book.maths;
  const WORDS = ["<start>", "a", "star", "<end>", "<pad>"];
  const WAYS = {
    infinity: "before the softmax, with minus infinity",
    constant: "before the softmax, with −1,000,000,000",
    zeros: "as the companion: an empty row gets zeros",
    late: "after the softmax (too late)",
  };
  const padding = (row, place) => WORDS[place] !== "<pad>";
  const causal = (row, place) => place <= row;

  /* The weights of every row. */
  const attend = (way, scores, mask) => scores.map((row, i) => maths.maskedWeights[way](row, mask[i]));

  const build = (root) => {
    const state = { way: "infinity", seed: 3 };
    const scores = () => {
      const normal = maths.normal(state.seed);
      return WORDS.map(() => WORDS.map(normal));
    };
    let mask = WORDS.map((_, i) => WORDS.map((__, j) => padding(i, j) && causal(i, j)));
    const said = book.live();
    const cells = WORDS.map((_, i) =>
      WORDS.map((__, j) =>
        element("button", {
          type: "button",
          class: "playground-cell",
          onclick: () => {
            mask[i][j] = !mask[i][j];
            draw();
          },
          onkeydown: (event) => {
            const to = { ArrowLeft: [i, j - 1], ArrowRight: [i, j + 1], ArrowUp: [i - 1, j], ArrowDown: [i + 1, j] }[
              event.key
            ];
            const next = to && cells[to[0]]?.[to[1]];
            if (next) {
              event.preventDefault();
              next.focus();
            }
          },
        }),
      ),
    );
    const sums = WORDS.map(() => element("span"));
    const table = book.table({
      caption: "Row: the word that attends. Column: the word that is attended to.",
      heads: ["", ...WORDS, "sum"],
      rows: WORDS.map((word, i) => [word, ...cells[i], sums[i]]),
    });
    const draw = () => {
      const weights = attend(state.way, scores(), mask);
      weights.forEach((row, i) => {
        const total = maths.sum(row);
        sums[i].textContent = number(total);
        row.forEach((weight, j) => {
          cells[i][j].textContent = number(weight);
          cells[i][j].setAttribute("aria-pressed", String(mask[i][j]));
          cells[i][j].setAttribute(
            "aria-label",
            `${WORDS[i]} attends to ${WORDS[j]}: ${mask[i][j] ? "allowed" : "hidden"}, weight ${number(weight)}`,
          );
          cells[i][j].style.setProperty("--share", Number.isFinite(weight) ? weight : 0);
        });
      });
      const wrong = weights
        .map((row, i) => [WORDS[i], maths.sum(row)])
        .filter(([, total]) => !(Math.abs(total - 1) < 1e-9));
      const leaks = weights.flatMap((row, i) => row.filter((weight, j) => !mask[i][j] && weight > 0)).length;
      said.textContent =
        (wrong.length
          ? `Rows whose weights do not sum to one: ${wrong.map(([word]) => word).join(", ")}. `
          : "Every row sums to one. ") +
        (leaks ? `Hidden cells with a weight: ${leaks}.` : "No hidden cell has a weight.");
    };
    const set = (rule) => {
      mask = mask.map((row, i) => row.map((_, j) => rule(i, j)));
      draw();
    };
    root.append(
      book.controls(
        book.button("Causal and padding", () => set((i, j) => causal(i, j) && padding(i, j))),
        book.button("Causal", () => set(causal)),
        book.button("Padding", () => set(padding)),
        book.button("No mask", () => set(() => true)),
        book.button("New scores", () => {
          state.seed += 1;
          draw();
        }),
      ),
      book.controls(
        book.choice({
          label: "the mask acts",
          options: WAYS,
          value: state.way,
          change: (way) => {
            state.way = way;
            draw();
          },
        }),
      ),
      table,
      said,
    );
    draw();
  };

  book.masks = { attend, WORDS };
  book.playgrounds.masks = build;
})();
