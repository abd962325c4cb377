/* Puzzles: lines in the wrong order, ordered by drag, by touch or by keyboard. practice.js calls this for each one. */
"use strict";

(() => {
  const practice = window.attentionBook.practice;
  const { element, button, status, store } = practice;

  /* The place (from 1) of the first line that is wrong or missing; 0 if all are right. `free` is a line that may stand
     anywhere before another one. */
  practice.firstWrong = (order, right, free) => {
    if (free) {
      const [line, before] = free,
        at = order.indexOf(line);
      const place = practice.firstWrong(order.replace(line, ""), right.replace(line, ""));
      if (place) return at >= 0 && at < place ? place + 1 : place;
      if (at < 0) return order.length + 1;
      return at > order.indexOf(before) ? at + 1 : 0;
    }
    for (let i = 0; i < Math.max(order.length, right.length); i += 1) if (order[i] !== right[i]) return i + 1;
    return 0;
  };

  const puzzle = (root, details, key) => {
    const letters = Object.keys(details.lines),
      said = status();
    let order = [...new Set(store.read(key) || "")].filter((letter) => letter in details.lines);
    const pool = element("ul", { class: "practice-lines", "aria-label": "lines to choose from" });
    const chosen = element("ol", { class: "practice-lines practice-order", "aria-label": "your order" });
    const save = () => store.write(key, order.join(""));
    const code = (letter) => [element("strong", {}, letter), element("code", {}, details.lines[letter])];

    const put = (letter, place) => {
      const others = order.filter((other) => other !== letter);
      order = [...others.slice(0, place), letter, ...others.slice(place)];
    };
    const change = (act, focus) => {
      act();
      save();
      said.textContent = "";
      draw();
      focus && root.querySelector(`[data-letter="${focus}"]`)?.focus();
    };

    /* A line in `your order` is one button: arrow keys move it, Delete takes it out. */
    const line = (letter) => {
      const inOrder = order.includes(letter),
        place = order.indexOf(letter);
      const hold = element(
        "button",
        {
          type: "button",
          class: "practice-line",
          "data-letter": letter,
          "aria-label": inOrder
            ? `line ${letter}, at place ${place + 1}: ${details.lines[letter]}. Arrow keys move it, Delete takes it out.`
            : `line ${letter}: ${details.lines[letter]}. Press to add it.`,
          onclick: () => {
            if (!inOrder && !dragged) change(() => put(letter, order.length), letter);
            dragged = false;
          },
          onkeydown: (event) => {
            const acts = {
              ArrowUp: () => put(letter, Math.max(0, place - 1)),
              ArrowDown: () => put(letter, place + 1),
              Delete: () => {
                order = order.filter((other) => other !== letter);
              },
            };
            acts.Backspace = acts.Escape = acts.Delete;
            if (!inOrder || !acts[event.key]) return;
            event.preventDefault();
            change(acts[event.key], letter);
          },
        },
        ...code(letter),
      );
      const grip = element("span", { class: "practice-grip", "aria-hidden": "true" }, "⠿");
      const item = element("li", {}, grip, hold);
      if (inOrder)
        item.append(
          button(
            "×",
            () =>
              change(() => {
                order = order.filter((other) => other !== letter);
              }, letter),
            { "aria-label": `take line ${letter} out` },
          ),
        );
      for (const handle of [grip, hold])
        handle.addEventListener("pointerdown", (event) => event.button === 0 && drag(event, letter, item, handle));
      return item;
    };

    let dragged = false;
    /* Where a line would stand if it were let go at a height of the window. */
    const placeAt = (y, letter) =>
      [...chosen.querySelectorAll("li:not(.practice-dragged) [data-letter]")]
        .filter((other) => other.dataset.letter !== letter)
        .filter((other) => {
          const box = other.getBoundingClientRect();
          return y > box.top + box.height / 2;
        }).length;
    const over = (event) => {
      const box = chosen.getBoundingClientRect();
      return (
        event.clientX >= box.left &&
        event.clientX <= box.right &&
        event.clientY >= box.top &&
        event.clientY <= box.bottom
      );
    };
    const drag = (start, letter, item, handle) => {
      if (start.pointerType === "touch" && handle === item.querySelector(".practice-line")) return; // a finger scrolls there
      handle.setPointerCapture(start.pointerId);
      dragged = false;
      const move = (event) => {
        if (!dragged && Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) < 6) return;
        dragged = true;
        item.classList.add("practice-dragged");
        item.style.transform = `translate(${event.clientX - start.clientX}px, ${event.clientY - start.clientY}px)`;
        chosen.classList.toggle("practice-over", over(event));
      };
      const end = (event) => {
        handle.removeEventListener("pointermove", move);
        if (!dragged) return;
        const inside = event.type === "pointerup" && over(event),
          place = placeAt(event.clientY, letter);
        chosen.classList.remove("practice-over");
        if (inside) change(() => put(letter, place), letter);
        else if (event.type === "pointerup" && order.includes(letter))
          change(() => {
            order = order.filter((other) => other !== letter);
          }, letter);
        else draw();
        setTimeout(() => (dragged = false));
      };
      handle.addEventListener("pointermove", move);
      handle.addEventListener("pointerup", end, { once: true });
      handle.addEventListener("pointercancel", end, { once: true });
    };

    const draw = () => {
      pool.replaceChildren(...letters.filter((letter) => !order.includes(letter)).map(line));
      chosen.replaceChildren(...order.map(line));
    };
    const check = () => {
      const attempt = order.join(""),
        wrong = practice.firstWrong(attempt, details.right, details.free);
      if (!wrong) said.textContent = `Right. In the notebook: attempt("${attempt}").`;
      else if (wrong > order.length) said.textContent = "So far right; a line is missing.";
      else if (wrong > details.right.length)
        said.textContent = `Line ${order[wrong - 1]}, at place ${wrong}, is one too many.`;
      else said.textContent = `The first line that is out of place is line ${order[wrong - 1]}, at place ${wrong}.`;
    };
    root.append(
      element(
        "div",
        { class: "practice-columns" },
        element("div", {}, element("p", {}, "Lines: press one, or drag it by its dots"), pool),
        element("div", {}, element("p", {}, "Your order"), chosen),
      ),
      element(
        "div",
        { class: "practice-form" },
        button("Check the order", check),
        button("Start again", () =>
          change(() => {
            order = [];
          }),
        ),
      ),
      said,
    );
    draw();
  };

  practice.kinds.puzzle = puzzle;
})();
