// The caption: a button with its map for each word, the verdict, the word that is selected, and a table of all words.
(function (book) {
  "use strict";

  const { element, button, folded, nameOf } = book;
  const END = 2; // companion.vocabulary.SPECIALS
  const NOTHING = "Select a word: its map lies over the picture, and here stands what else the word could have been.";

  function percent(probability) {
    if (probability < 0.005) return "under 1 %";
    return probability > 0.995 ? "over 99 %" : `${Math.round(100 * probability)} %`;
  }

  function peak(weights) {
    const place = weights.indexOf(Math.max(...weights)), side = Math.sqrt(weights.length);
    return { row: Math.floor(place / side) + 1, col: (place % side) + 1, weight: weights[place] };
  }

  const listed = (members, objects) => members.map((i) => `the ${nameOf(objects[i])}`).join(" or ");

  // In words, where the map of a word has its peak.
  function whereItLies(graded, objects) {
    if (!graded) return "such a word is not graded";
    return `peak ${graded.hit ? "on" : "not on"} ${listed(graded.members, objects)}`;
  }

  // The sentence. `on` has the functions `select(t)` (null: none), `preview(t)`, `replace(t, word)` and
  // `redirect(object)` (null: the model's own attention).
  class Sentence {
    constructor(on) {
      this.on = on;
      const toolbar = { className: "laboratory-words", role: "toolbar", "aria-label": "Words of the caption" };
      this.words = element("div", toolbar);
      this.words.addEventListener("keydown", (event) => this.press(event));
      this.words.addEventListener("mouseleave", () => on.preview(null));
      this.verdict = element("p", { className: "laboratory-verdict" });
      this.pointing = element("p");
      this.word = element("section", { className: "laboratory-word", "aria-label": "The selected word" });
      this.outcome = element("p", { className: "laboratory-outcome", role: "status" });
      this.table = folded("A table of all words");
    }

    show({ result, graded, objects, explanation, isTrue }) {
      Object.assign(this, { result, graded, objects });
      this.words.replaceChildren(...result.words.map((word, t) => this.wordButton(word, t)));
      const marked = graded.filter(Boolean), hits = marked.filter(({ hit }) => hit).length;
      this.verdict.dataset.true = isTrue;
      this.verdict.textContent = `${isTrue ? "✓" : "✗ false:"} ${explanation}.`;
      this.pointing.textContent = `Pointing: ${hits} of ${marked.length} graded words have their peak on their object.`;
      this.table.fill(this.makeTable());
    }

    wordButton(word, t) {
      const { hit } = this.graded[t] ?? {}, map = element("canvas", { className: "laboratory-thumbnail" });
      book.drawMap(map, this.result.maps[t], false);
      const mark = this.graded[t] ? (hit ? "✓" : "✗") : " ";
      const node = element("button", {
        type: "button", className: "laboratory-token", tabIndex: t ? -1 : 0, "aria-pressed": "false",
        "aria-label": `${word}, ${whereItLies(this.graded[t], this.objects)}`,
      }, map, element("span", {}, word), element("span", { className: "laboratory-mark" }, mark));
      node.dataset.hit = hit ?? "";
      node.addEventListener("click", () => this.on.select(t));
      node.addEventListener("focus", () => this.on.select(t));
      node.addEventListener("mouseenter", () => this.on.preview(t));
      return node;
    }

    press(event) {
      const buttons = [...this.words.children], now = buttons.indexOf(document.activeElement);
      const step = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: buttons.length - 1 }[event.key];
      if (event.key === "Escape") this.on.select(null);
      else if (step === undefined) return;
      buttons[step]?.focus();
      event.preventDefault();
    }

    focusWord(t) {
      this.words.children[t]?.focus();
    }

    // Show which word is selected, its probability, what else it could have been, and whose attention it could have.
    showSelected(t, model) {
      const known = t !== null && t < this.result.words.length;
      [...this.words.children].forEach((node, i) => {
        node.setAttribute("aria-pressed", i === t);
        node.tabIndex = i === (known ? t : 0) ? 0 : -1;
      });
      this.outcome.textContent = "";
      this.word.replaceChildren(...(known ? this.details(t, model) : [element("p", {}, NOTHING)]));
    }

    details(t, model) {
      const { logProbability, alternatives, token } = this.result.steps[t];
      const { row, col, weight } = peak(this.result.maps[t]);
      const where = whereItLies(this.graded[t], this.objects);
      const facts = ` has the probability ${percent(Math.exp(logProbability))}. Its largest weight, ` +
        `${percent(weight)}, is in row ${row}, column ${col} of the grid; ${where}.`;
      const others = alternatives.filter(({ word }) => word !== token).map(({ word, probability }) => (word === END
        ? element("span", {}, `(end) ${percent(probability)}`)
        : button(`${model.vocabulary[word]} ${percent(probability)}`, () => this.on.replace(t, word))));
      const choices = [["", "its own map"], ...this.objects.map((object, i) => [String(i), `the ${nameOf(object)}`])];
      this.places = book.radios("redirect", "Redirect its attention to", choices,
        (value) => this.on.redirect(value === "" ? null : Number(value)));
      this.places.choose("");
      return [
        element("p", {}, element("strong", {}, this.result.words[t]), facts),
        element("div", { className: "laboratory-row" }, "Instead of it:", others),
        this.places, this.outcome,
      ];
    }

    // Say what the model generates with the attention of word t on an object.
    showRedirected(t, object, { words, steps }) {
      this.places.choose(String(object));
      const own = this.result.words[t], given = words[t] ?? "(end)", place = `the ${nameOf(this.objects[object])}`;
      const changed = given === own ? `the word stays “${own}”` : `“${own}” becomes “${given}”`;
      this.outcome.textContent = `With its attention on ${place}, ${changed} ` +
        `(${percent(Math.exp(steps[t].logProbability))}). From there: “${words.join(" ")}”.`;
    }

    makeTable() {
      const heads = ["Word", "Probability", "Largest weight", "Row", "Column", "Pointing"];
      const rows = this.result.words.map((word, t) => {
        const { row, col, weight } = peak(this.result.maps[t]), sure = Math.exp(this.result.steps[t].logProbability);
        const cells = [percent(sure), percent(weight), row, col, whereItLies(this.graded[t], this.objects)];
        const data = cells.map((cell) => element("td", {}, `${cell}`));
        return element("tr", {}, element("th", { scope: "row" }, word), data);
      });
      const caption = element("caption", {}, "Each word's largest weight, on a grid of 8 rows and 8 columns");
      const head = element("tr", {}, heads.map((name) => element("th", { scope: "col" }, name)));
      const table = element("table", {}, caption, element("thead", {}, head), element("tbody", {}, rows));
      const box = { className: "laboratory-scroll", tabIndex: 0, role: "region", "aria-label": "Table of all words" };
      return element("div", box, table);
    }
  }

  Object.assign(book, { Sentence });
})(attentionBook);
