// Small helpers for the elements of the page. All text goes through textContent or attributes, never through HTML.
(function (book) {
  "use strict";

  // Return an element with properties, attributes (names with a hyphen, and `role`) and children.
  function element(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name.includes("-") || name === "role" || name === "for") node.setAttribute(name, value);
      else node[name] = value;
    }
    node.append(...children.flat().filter((child) => child !== null));
    return node;
  }

  // Return a labelled group of radio buttons. `choices` are [value, label] or [value, label, swatch colour].
  function radios(name, legend, choices, change) {
    const buttons = choices.map(([value, label, colour]) => {
      const input = element("input", { type: "radio", name: `laboratory-${name}`, value });
      input.addEventListener("change", () => change(value));
      const mark = colour ? element("span", { className: "laboratory-swatch", "aria-hidden": "true" }) : null;
      if (mark) mark.style.backgroundColor = colour;
      return element("label", { className: "laboratory-choice" }, input, mark, element("span", {}, label));
    });
    const group = element("fieldset", { className: "laboratory-group" }, element("legend", {}, legend), buttons);
    group.choose = (value) => {
      for (const input of group.querySelectorAll("input")) input.checked = input.value === String(value);
    };
    return group;
  }

  function button(label, click, properties = {}) {
    const node = element("button", { type: "button", className: "laboratory-button", ...properties }, label);
    node.addEventListener("click", click);
    return node;
  }

  // Return a range with its value behind it. `text` says the value in words.
  function slider(label, { min, max, step }, text, change) {
    const input = element("input", { type: "range", min, max, step }), output = element("span");
    const group = element("label", { className: "laboratory-slider" }, element("span", {}, label), input, output);
    group.set = (value) => {
      input.value = value;
      output.textContent = text(value);
      input.setAttribute("aria-valuetext", text(value));
    };
    input.addEventListener("input", () => {
      group.set(Number(input.value));
      change(Number(input.value));
    });
    return group;
  }

  // A number with two decimals and the sign of the typographers.
  const signed = (number) => number.toFixed(2).replace("-", "−");

  // Return a folded part of the page; `fill` puts new contents into it.
  function folded(summary, ...children) {
    const body = element("div", {}, ...children);
    const details = element("details", { className: "laboratory-folded" }, element("summary", {}, summary), body);
    details.fill = (...contents) => body.replaceChildren(...contents);
    return details;
  }

  Object.assign(book, { element, radios, button, slider, folded, signed });
})(attentionBook);
