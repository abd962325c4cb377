// The attention explorer: it turns the filmstrip that stands in the page into one large picture and the caption's words.
// A word, by pointing, tapping or arrow keys, lights the places that had weight for it; a place marks the words that it
// had weight for. All texts of captions and tags go through textContent: they are data.
(() => {
  const HALF = 16; // of 31 levels: from there on a place has much weight for a word

  const make = (parent, tag, attributes = {}, text = "") => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    return parent.appendChild(element);
  };

  const enliven = (root) => {
    root.dataset.live = "yes";
    const data = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
    const { rows, cols, words, tags } = data;
    const levels = data.levels.map((line) => [...line].map((digit) => parseInt(digit, 32)));
    const strip = root.querySelector(".strip");
    const stage = make(root, "div", { class: "stage" });
    root.insertBefore(stage, strip);
    strip.hidden = true;

    // One layer for no word, then one for each, lie over each other on the picture; one of them is visible.
    const picture = make(stage, "div", {
      class: "tile", tabindex: "0", role: "application", "aria-roledescription": "picture with places",
      "aria-label": `${data.alt} Arrow keys move over ${rows} by ${cols} places.`,
    });
    const layers = [...strip.querySelectorAll("svg")].map((svg) => picture.appendChild(svg.cloneNode(true)));
    const cursor = make(picture, "div", { class: "cursor", hidden: "" });
    cursor.style.width = `${100 / cols}%`;
    cursor.style.height = `${100 / rows}%`;

    const side = make(stage, "div", { class: "side" });
    const choice = make(side, "div", { class: "words", role: "radiogroup", "aria-label": "Words of the caption" });
    const buttons = words.map((word) => make(choice, "button", { type: "button", role: "radio" }, word));
    const verdict = root.querySelector(".verdict");
    if (verdict) {
      side.appendChild(verdict.cloneNode(true));
      verdict.hidden = true; // it still stands below the filmstrip, which is what is printed
    }
    const said = make(side, "p", { role: "status" });
    const heading = tags.length ? make(side, "p") : null;
    const list = tags.length ? make(side, "ul", { class: "tags" }) : null;
    const bars = tags.map((tag) => {
      const line = make(list, "li");
      make(line, "bdi", {}, tag);
      return { line, bar: make(line, "span", { class: "bar", "aria-hidden": "true" }), share: make(line, "span") };
    });

    let word = -1; // none
    let place = -1;

    // Write a sentence; a piece in an array is a word or tag, set apart from the direction of the text around it.
    const say = (element, pieces) => {
      element.replaceChildren(...pieces.map((piece) => {
        if (!Array.isArray(piece)) return document.createTextNode(piece);
        const name = document.createElement("bdi");
        name.textContent = `“${piece[0]}”`;
        return name;
      }));
    };
    const where = (index) => `row ${Math.floor(index / cols) + 1}, column ${(index % cols) + 1}`;
    const most = (shares) => shares.indexOf(Math.max(...shares));

    const about = (index) => {
      if (index < 0) return ["Choose a word to see its map, or a place to see for which words it has weight."];
      const pieces = [[words[index]], ` has its largest weight at ${where(data.peaks[index])}.`];
      if (tags.length) {
        const shares = data.tagShares[index + 1];
        pieces.push(" Of the tags, it read ", [tags[most(shares)]], ` most: ${Math.max(...shares)} %.`);
      }
      const grade = data.grades[index];
      if (grade) pieces.push(` The peak is ${grade[0] ? "" : "not "}on the object; ${grade[1]} % of the attention is.`);
      return pieces;
    };

    const show = (index) => {
      word = index;
      layers.forEach((layer, i) => layer.classList.toggle("on", i === index + 1));
      buttons.forEach((button, i) => {
        button.setAttribute("aria-checked", String(i === index));
        button.tabIndex = i === Math.max(index, 0) ? 0 : -1;
      });
      if (heading) {
        say(heading, index < 0 ? ["Tags, and how probable it is that a caption mentions them:"] : ["Weights of the tags for ", [words[index]], ":"]);
        const shares = data.tagShares[index + 1];
        bars.forEach(({ line, bar, share }, i) => {
          bar.style.setProperty("--share", `${shares[i]}%`);
          share.textContent = `${shares[i]} %`;
          line.classList.toggle("most", i === most(shares));
        });
      }
      say(said, about(index));
    };

    // Mark the words that looked at a place; -1 marks none.
    const mark = (index) => {
      place = index;
      cursor.hidden = index < 0;
      const readers = words.map((_, i) => index >= 0 && levels[i][index] >= HALF);
      buttons.forEach((button, i) => button.classList.toggle("reader", readers[i]));
      if (index < 0) return say(said, about(word));
      cursor.style.left = `${(100 * (index % cols)) / cols}%`;
      cursor.style.top = `${(100 * Math.floor(index / cols)) / rows}%`;
      const names = words.filter((_, i) => readers[i]);
      const found = names.flatMap((name, i) => (i ? [", ", [name]] : [[name]]));
      const start = `${where(index)[0].toUpperCase()}${where(index).slice(1)}: `;
      return say(said, [start, ...(found.length ? ["much weight for ", ...found, "."] : ["little weight for every word."])]);
    };

    const placeAt = (event) => {
      const box = picture.getBoundingClientRect();
      const cell = (position, size, count) => Math.min(count - 1, Math.max(0, Math.floor((position / size) * count)));
      return cell(event.clientY - box.top, box.height, rows) * cols + cell(event.clientX - box.left, box.width, cols);
    };
    const byMouse = (action) => (event) => event.pointerType === "mouse" && action(event);
    picture.addEventListener("pointermove", byMouse((event) => mark(placeAt(event))));
    picture.addEventListener("pointerleave", byMouse(() => mark(-1)));
    picture.addEventListener("click", (event) => mark(placeAt(event)));
    picture.addEventListener("blur", () => mark(-1));
    picture.addEventListener("keydown", (event) => {
      const [row, col] = place < 0 ? [-1, -1] : [Math.floor(place / cols), place % cols];
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step && event.key !== "Escape") return;
      event.preventDefault();
      if (!step) return mark(-1);
      const within = (position, count) => Math.min(count - 1, Math.max(0, position));
      return mark(place < 0 ? 0 : within(row + step[0], rows) * cols + within(col + step[1], cols));
    });

    const choose = (index) => {
      mark(-1);
      show(index);
    };
    buttons.forEach((button, i) => {
      button.addEventListener("click", () => choose(i));
      button.addEventListener("pointerenter", byMouse(() => choose(i)));
    });
    choice.addEventListener("keydown", (event) => {
      const last = words.length - 1;
      const next = (word + 1) % words.length;
      const previous = word <= 0 ? last : word - 1;
      const keys = { ArrowRight: next, ArrowDown: next, ArrowLeft: previous, ArrowUp: previous, Home: 0, End: last, Escape: -1 };
      if (!(event.key in keys)) return;
      event.preventDefault();
      choose(keys[event.key]);
      if (word >= 0) buttons[word].focus();
    });
    show(data.first);
  };

  // Not only the explorer of this script: some notebooks run scripts apart from the element that they came with.
  document.querySelectorAll(".attention-explorer:not([data-live])").forEach(enliven);
})();
