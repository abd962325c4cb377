/* The root of d, and saturation: random queries and keys of d channels, their scores divided by nothing, √d or d. */
"use strict";

(() => {
  const book = window.attentionBook,
    { element, number } = book,
    maths = book.maths;
  const PLACES = 8;
  const DIVISORS = { nothing: () => 1, root: (d) => Math.sqrt(d), d: (d) => d };

  /* The scores of one query with `places` keys; all entries are drawn from a normal distribution. */
  const draw = (seed, d, places = PLACES) => {
    const normal = maths.normal(seed),
      vector = () => Array.from({ length: d }, normal);
    const query = vector();
    return maths.scores("dot", query, Array.from({ length: places }, vector));
  };

  /* What the softmax makes of scores after the division. */
  const measure = (scores, divisor) => {
    const divided = scores.map((score) => score / divisor),
      weights = maths.softmax(divided);
    return {
      divided,
      weights,
      deviation: maths.deviation(divided),
      entropy: maths.entropy(weights),
      jacobian: maths.jacobianNorm(weights),
    };
  };

  const build = (root) => {
    const state = { power: 0, divisor: "nothing", seed: 1 };
    const output = element("div"),
      said = book.live();
    const show = () => {
      const d = 2 ** state.power,
        found = measure(draw(state.seed, d), DIVISORS[state.divisor](d));
      const rows = found.weights.map((weight, i) => [
        `place ${i + 1}`,
        number(found.divided[i]),
        element("span", {}, book.bar(weight), number(weight, 3)),
      ]);
      const top = Math.max(...found.weights);
      output.replaceChildren(
        book.table({
          caption: `One query, ${PLACES} places, ${d} channel${d > 1 ? "s" : ""}`,
          heads: ["place", "score", "weight"],
          rows,
        }),
      );
      said.textContent =
        `Standard deviation of the scores ${number(found.deviation)}; largest weight ${number(top)}; ` +
        `entropy ${number(found.entropy)} of at most ${number(Math.log(PLACES))} nats; norm of J ${number(found.jacobian, 3)}.` +
        (found.jacobian < 0.01 ? " Saturated: hardly any gradient reaches the scores." : "");
    };
    root.append(
      book.controls(
        book.slider({
          label: "channels d",
          min: 0,
          max: 10,
          step: 1,
          value: 0,
          format: (x) => String(2 ** x),
          change: (x) => {
            state.power = x;
            show();
          },
        }),
        book.choice({
          label: "divide the scores by",
          options: { nothing: "nothing", root: "√d", d: "d" },
          value: "nothing",
          change: (name) => {
            state.divisor = name;
            show();
          },
        }),
        book.button("Draw again", () => {
          state.seed += 1;
          show();
        }),
      ),
      said,
      output,
    );
    show();
  };

  book.saturation = { draw, measure };
  book.playgrounds.saturation = build;
})();
