// The tree of a beam search, which grows from left to right: a column for each step, the kept hypotheses from the best
// down, and a line from each to the one that it continues.
(function (book) {
  "use strict";

  const { element, button, slider } = book;
  const SVG = "http://www.w3.org/2000/svg", WIDTH = 96, HEIGHT = 44, MARGIN = 12;

  function svg(tag, attributes, text = "") {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.textContent = text;
    return node;
  }

  // For each step the index of the hypothesis that leads to the best of the last one.
  function winningPath(tree) {
    const path = [];
    for (let t = tree.length - 1, i = 0; t >= 0; i = tree[t].length ? tree[t][i].parent : 0, t--) path[t] = i;
    return path;
  }

  // The first `steps` columns of a tree; `words` is the vocabulary.
  function drawing(tree, words, steps) {
    const path = winningPath(tree.slice(0, steps)), width = Math.max(...tree.map((kept) => kept.length));
    const size = { width: steps * WIDTH + 2 * MARGIN, height: width * HEIGHT + 2 * MARGIN };
    const picture = svg("svg", { ...size, viewBox: `0 0 ${size.width} ${size.height}`, "aria-hidden": "true" });
    for (let t = 0; t < steps; t++) {
      tree[t].forEach(({ parent, token, sum }, i) => {
        const x = MARGIN + t * WIDTH, y = MARGIN + i * HEIGHT + 16, best = path[t] === i ? "laboratory-best" : "";
        if (t) {
          const from = MARGIN + parent * HEIGHT + 16, left = x - 28;
          const line = `M ${left} ${from} C ${left + 16} ${from}, ${x - 20} ${y}, ${x - 4} ${y}`;
          picture.append(svg("path", { d: line, class: `laboratory-edge ${best}` }));
        }
        const ended = token === 0, label = ended ? "–" : token === 2 ? "(end)" : words[token];
        picture.append(svg("text", { x, y: y + 4, class: `laboratory-node ${best}` }, label));
        if (!ended) picture.append(svg("text", { x, y: y + 18, class: "laboratory-sum" }, book.signed(sum)));
      });
    }
    return picture;
  }

  // The words of a hypothesis of step t, from the tree alone.
  function hypothesis(tree, words, t, i) {
    const text = [];
    for (; t >= 0; i = tree[t].at(i).parent, t--) if (tree[t][i].token > 2) text.unshift(words[tree[t][i].token]);
    return text.join(" ");
  }

  // A part of the page for trees; `show(tree, words)` fills it.
  function treeView() {
    const box = element("div", {
      className: "laboratory-tree", role: "region", tabIndex: 0, "aria-label": "The tree of hypotheses",
    });
    const list = element("ol", { className: "laboratory-hypotheses" });
    let tree = [], words = [], timer = null;
    const draw = (steps) => {
      box.replaceChildren(drawing(tree, words, steps));
      box.scrollLeft = box.scrollWidth;
      const last = tree[steps - 1];
      list.replaceChildren(...last.map(({ sum, ended }, i) => {
        const line = `${hypothesis(tree, words, steps - 1, i)}${ended ? "." : " …"} (${book.signed(sum)})`;
        return element("li", {}, line);
      }));
    };
    const range = slider("Steps", { min: 1, max: 1, step: 1 }, (value) => `${value}`, (value) => {
      stop();
      draw(value);
    });
    const stop = () => clearInterval(timer);
    const grow = button("Grow", () => {
      stop();
      let steps = 0;
      const next = () => {
        range.set(++steps);
        draw(steps);
        if (steps >= tree.length) stop();
      };
      timer = setInterval(next, 500);
      next();
    });
    const node = element("div", { hidden: true }, element("p", { className: "laboratory-heading" },
      "The beam: at every step the best hypotheses, with their log-probabilities"),
    element("div", { className: "laboratory-row" }, range, grow), box, list);
    return {
      node,
      show(newTree, vocabulary) {
        stop();
        node.hidden = !newTree;
        if (!newTree) return;
        [tree, words] = [newTree, vocabulary];
        range.querySelector("input").max = tree.length;
        range.set(tree.length);
        draw(tree.length);
      },
    };
  }

  Object.assign(book, { treeView });
})(attentionBook);
