/* Practice in the page: forecasts that are sealed before an output opens, and quizzes that answer the chosen option;
   practice_puzzle.js has the puzzles. tools/practice.py leaves an element [data-practice] where one of them stands.

   Answers stay in this browser (localStorage) and go nowhere. Text is set as text, never as HTML. */
"use strict";
window.attentionBook = window.attentionBook || {};

(() => {
  const practice = (window.attentionBook.practice = {});

  /* An HTML element: attributes by name, listeners as `onclick`, children that are nodes or text. */
  const element = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  };
  const button = (text, press, attributes = {}) =>
    element("button", { type: "button", class: "practice-button", onclick: press, ...attributes }, text);
  const status = () => element("p", { class: "practice-status", role: "status" });

  /* What the reader answered earlier. A key holds the question, so that a new text is a new question. */
  const store = {
    key: (root, question) =>
      `attentionBook ${location.pathname} ${root.dataset.number} ${question.trim().slice(0, 200)}`,
    read: (key) => {
      try {
        return localStorage.getItem(key);
      } catch {
        return null;
      }
    },
    write: (key, value) => {
      try {
        if (value === null) localStorage.removeItem(key);
        else localStorage.setItem(key, value);
      } catch {
        /* a browser may refuse to store; then the answer lasts as long as the page */
      }
    },
  };

  /* The number that a reader typed ("1,024", "0.5", "50 %"), or null. */
  practice.parse = (text) => {
    const number = /^\s*([+-]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?)\s*(%?)\s*$/i;
    const match = number.exec(text.replace("−", "-"));
    return match ? Number(match[1].replaceAll(",", "")) / (match[2] ? 100 : 1) : null;
  };

  const plain = (value) => String(Number(value.toPrecision(12))).replace("-", "−");

  /* What to say about a forecast, given what is right, if that is known. */
  practice.compare = (details, answer) => {
    if (details.answer === "number" && details.right !== undefined) {
      const right = Number(details.right.toFixed(details.decimals));
      const inPercent = answer.endsWith("%") && right > 1; // of a number that is itself a percentage
      const guess = practice.parse(answer) * (inPercent ? 100 : 1);
      const off = Number(Math.abs(guess - right).toFixed(details.decimals));
      return (
        `Your forecast: ${answer}. The cell gives ${plain(right)}: ` +
        (off === 0 ? "you were right, to the printed digits." : `off by ${plain(off)}.`) +
        " (What the output calls your forecast is the number in the cell.)"
      );
    }
    if (details.answer === "choice" && details.right !== undefined) {
      return (
        `Your forecast: ${answer}. ` +
        (answer === details.right ? "You were right." : `The cell says: ${details.right}.`)
      );
    }
    return `Your forecast: ${answer}. Compare it with the output.`;
  };

  const forecast = (root, details, key) => {
    const fold = document
      .getElementById(details.fold)
      ?.parentElement.querySelector(":scope > details.below-input, :scope > details.above-output");
    if (!fold) return;
    const said = status(),
      verdict = status();
    let sealed = store.read(key);
    const controls = {
      number: () =>
        element("input", { type: "text", inputmode: "decimal", autocomplete: "off", size: 10, maxlength: 40 }),
      text: () => element("input", { type: "text", autocomplete: "off", maxlength: 500 }),
      choice: () =>
        element(
          "select",
          {},
          element("option", { value: "" }, "choose"),
          ...details.options.map((option) => element("option", { value: option }, option)),
        ),
    };
    const input = controls[details.answer]();
    const label = element("label", {}, "Your forecast", input);
    const form = element(
      "form",
      { class: "practice-form" },
      label,
      element("button", { class: "practice-button" }, "Seal it and open the output"),
    );
    const again = button("Forget it", () => {
      sealed = null;
      store.write(key, null);
      show();
      input.focus();
    });
    const skip = button("Open without a forecast", () => {
      notice.hidden = true;
      fold.open = true;
    });
    const toForm = button("To the question", () => input.focus());
    const notice = element("p", { class: "practice-notice", role: "status", hidden: "" });

    const show = () => {
      form.hidden = sealed !== null;
      again.hidden = sealed === null;
      said.textContent = sealed === null ? "" : `Sealed: ${sealed}. It is kept in this browser alone.`;
      verdict.textContent = "";
      if (sealed !== null && fold.open) verdict.textContent = practice.compare(details, sealed);
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const answer = input.value.trim();
      if (!answer || (details.answer === "number" && practice.parse(answer) === null)) {
        said.textContent =
          details.answer === "number" ? "Give a number, such as 0.5, 12 or 50 %." : "Give a forecast first.";
        input.focus();
        return;
      }
      sealed = answer;
      store.write(key, sealed);
      notice.hidden = true;
      fold.open = true;
      show();
    });
    fold.querySelector(":scope > summary").addEventListener("click", (event) => {
      if (sealed !== null || fold.open) return;
      event.preventDefault();
      notice.hidden = false;
      notice.replaceChildren("This output is sealed until you have made your forecast. ", toForm, " ", skip);
    });
    fold.addEventListener("toggle", show);
    fold.before(notice, verdict);
    root.append(form, said, again);
    show();
  };

  const quiz = (root, details, key) => {
    const list = root.previousElementSibling,
      answer = root.nextElementSibling;
    const said = element("div", { class: "practice-status", role: "status" });
    const name = `practice-choice-${root.dataset.number}`;
    const options = [...list.children].map((item, i) => {
      const input = element("input", {
        type: "radio",
        name,
        value: details.letters[i],
        onchange: () => {
          store.write(key, input.value);
          show(input.value);
        },
      });
      const content = element("span", {});
      const paragraph = item.querySelector(":scope > p") || item;
      content.append(...paragraph.childNodes);
      paragraph.append(element("label", { class: "practice-option" }, input, content));
      return input;
    });
    list.setAttribute("role", "radiogroup");
    const question = list.previousElementSibling;
    question.id ||= `${name}-question`;
    list.setAttribute("aria-labelledby", question.id);
    for (const item of list.children) item.setAttribute("role", "presentation");
    /* The sentences of the answer that name a choice; all of them if none does. */
    const reasons = (letter) => {
      const named = [...answer.querySelectorAll(`.names-${letter}`)];
      return (named.length ? named : [...answer.querySelectorAll(".practice-sentence")]).map((sentence) =>
        sentence.cloneNode(true),
      );
    };
    const show = (letter) => {
      const right = letter === details.right;
      said.className = `practice-status practice-${right ? "right" : "wrong"}`;
      said.replaceChildren(element("strong", {}, right ? `(${letter}) is right. ` : `(${letter}) is not it. `));
      if (right) answer.open = true;
      else reasons(letter).forEach((sentence) => said.append(sentence, " "));
    };
    root.append(said);
    const earlier = options.find((input) => input.value === store.read(key));
    if (earlier) {
      earlier.checked = true;
      said.textContent = `You chose (${earlier.value}).`;
    }
  };

  Object.assign(practice, { element, button, status, store });
  practice.kinds = { forecast, quiz };
  const mount = () => {
    document.querySelectorAll("[data-practice]:not(.practice-ready)").forEach((root, index) => {
      const details = JSON.parse(root.dataset.practice);
      root.dataset.number = index + 1;
      root.classList.add("practice-ready", `practice-${details.kind}`);
      const question = (
        root.parentElement.classList.contains("admonition") ? root.parentElement : root.previousElementSibling
      ).textContent;
      practice.kinds[details.kind](root, details, store.key(root, question));
    });
  };
  if (document.readyState === "complete") mount();
  else document.addEventListener("DOMContentLoaded", mount);
})();
