/* The playgrounds of the book: what all of them use. One global name, attentionBook; no library, no request.

   A chapter has <div class="playground" data-playground="NAME"> (tools/playgrounds.py). Each playground registers a
   function under its NAME, which builds its controls in that element when the page has loaded. Text is set as text,
   never as HTML. */
"use strict";
window.attentionBook = window.attentionBook || {};

(() => {
  const book = window.attentionBook;
  book.playgrounds = book.playgrounds || {};

  const SVG = "http://www.w3.org/2000/svg";

  const fill = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null));
    return node;
  };

  /* An HTML element: attributes by name, listeners as `onclick`, children that are nodes or text. */
  book.element = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

  /* The same for SVG. */
  book.drawing = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

  let ids = 0;
  book.newId = (stem) => `${stem}-${(ids += 1)}`;

  /* A number with a fixed count of decimals, and a minus sign that is one. */
  book.number = (value, digits = 2) => {
    if (Number.isNaN(value)) return "nan";
    if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
    const text = value.toFixed(digits);
    return Number(text) === 0 ? (0).toFixed(digits) : text.replace("-", "−");
  };

  /* A labelled slider; `format` says what its number means, `change` is called with the number. */
  book.slider = ({ label, min, max, step, value, format = String, change }) => {
    const id = book.newId("playground-slider");
    const output = book.element("span", { class: "playground-value", "aria-hidden": "true" }, format(value)); // the slider says it
    const input = book.element("input", {
      id,
      type: "range",
      min,
      max,
      step,
      value,
      "aria-valuetext": format(value),
      oninput: () => {
        output.textContent = format(Number(input.value));
        input.setAttribute("aria-valuetext", output.textContent);
        change(Number(input.value));
      },
    });
    return book.element(
      "div",
      { class: "playground-control" },
      book.element("label", { for: id }, label),
      input,
      output,
    );
  };

  /* A labelled list to choose from: options by value. */
  book.choice = ({ label, options, value, change }) => {
    const id = book.newId("playground-choice");
    const select = book.element(
      "select",
      { id, onchange: () => change(select.value) },
      Object.entries(options).map(([name, text]) =>
        book.element("option", { value: name, selected: name === value }, text),
      ),
    );
    return book.element("div", { class: "playground-control" }, book.element("label", { for: id }, label), select);
  };

  /* A labelled box to tick. */
  book.tick = ({ label, value, change }) => {
    const id = book.newId("playground-tick");
    const input = book.element("input", {
      id,
      type: "checkbox",
      checked: value,
      onchange: () => change(input.checked),
    });
    return book.element(
      "div",
      { class: "playground-control playground-tick" },
      input,
      book.element("label", { for: id }, label),
    );
  };

  book.button = (text, press) =>
    book.element("button", { type: "button", class: "playground-button", onclick: press }, text);

  /* A row of controls. */
  book.controls = (...children) => book.element("div", { class: "playground-controls" }, ...children);

  /* A table: heads, then rows; the first cell of a row is its head. Cells are text or nodes. It scrolls if it is wide. */
  book.table = ({ caption, heads, rows }) => {
    const id = book.newId("playground-caption");
    const cell = (tag, content, attributes = {}) => book.element(tag, attributes, content);
    return book.element(
      "div",
      {},
      book.element("p", { id, class: "playground-caption" }, caption),
      book.element(
        "div",
        { class: "playground-table", tabindex: 0, role: "region", "aria-labelledby": id },
        book.element(
          "table",
          { "aria-labelledby": id },
          book.element(
            "thead",
            {},
            book.element(
              "tr",
              {},
              heads.map((head) => cell(head ? "th" : "td", head, head ? { scope: "col" } : {})),
            ),
          ),
          book.element(
            "tbody",
            {},
            rows.map(([first, ...others]) =>
              book.element(
                "tr",
                {},
                cell("th", first, { scope: "row" }),
                others.map((other) => cell("td", other)),
              ),
            ),
          ),
        ),
      ),
    );
  };

  /* A bar whose length is a share of one; its number stands beside it, so it is hidden from screen readers. */
  book.bar = (share) =>
    book.element(
      "span",
      { class: "playground-bar", "aria-hidden": "true" },
      book.element("span", { style: `width: ${Math.min(100, Math.max(0, 100 * (share || 0)))}%` }),
    );

  /* A region that a screen reader reads out when its text changes. */
  book.live = () => book.element("p", { class: "playground-live", role: "status" });

  /* Buttons that walk through `names`, one step at a time; `change` gets the index of the last step that is visible. */
  book.steps = (names, change) => {
    let step = 0;
    const said = book.live();
    const go = (to) => {
      step = Math.min(names.length - 1, Math.max(0, to));
      back.disabled = step === 0;
      next.disabled = all.disabled = step === names.length - 1;
      said.textContent = `Step ${step + 1} of ${names.length}. ${names[step]}`;
      change(step);
    };
    const back = book.button("Back", () => go(step - 1));
    const next = book.button("Next step", () => go(step + 1));
    const all = book.button("All steps", () => go(names.length - 1));
    return { node: book.element("div", {}, book.controls(next, back, all), said), go, current: () => step };
  };

  const mount = () => {
    for (const root of document.querySelectorAll("[data-playground]:not(.playground-ready)")) {
      const build = book.playgrounds[root.dataset.playground];
      if (!build) continue;
      const place = book.element("div", { class: "playground-live-part" });
      root.append(place);
      build(place, root.dataset);
      root.classList.add("playground-ready");
    }
  };
  if (document.readyState === "complete") mount();
  else document.addEventListener("DOMContentLoaded", mount);
})();
