// The controls beside the picture: for the object that is selected, and for how the sentence is chosen.
(function (book) {
  "use strict";

  const { element, radios, button, slider } = book;
  const row = (...children) => element("div", { className: "laboratory-row" }, children);
  const pairs = (names, colours = {}) => names.map((name) => [name, name, colours[name] && `rgb(${colours[name]})`]);

  // Controls of the scene. `on` has the functions `mode(name)`, `change({name: value})`, `radius(pixels)`, `add()`,
  // `remove()` and `another()`.
  function sceneControls(on) {
    const attribute = (name, legend, names, colours) =>
      radios(name, legend, pairs(names, colours), (value) => on.change({ [name]: value }));
    const shape = attribute("shape", "Shape", book.SHAPES);
    const colour = attribute("colour", "Colour", book.COLOURS, book.RGB);
    const texture = attribute("texture", "Surface", ["plain", "striped"]);
    const radius = slider("Radius", book.RADII, (value) => `${value} pixels`, on.radius);
    const adder = button("Add an object", on.add), remover = button("Remove it", on.remove);
    const modes = [["move", "moves it"], ["redirect", "redirects the selected word"]];
    const mode = radios("mode", "A click on an object", modes, on.mode);
    const heading = element("p", { className: "laboratory-heading" });
    const own = { role: "group", "aria-label": "The selected object" };
    const object = element("div", own, heading, colour, shape, texture, radius);
    mode.choose("move");
    return {
      node: element("div", {}, mode, row(adder, remover, button("Another scene", on.another)), object),
      show(selected, objects) {
        const { [selected]: now } = objects;
        heading.textContent = `The ${book.nameOf(now)}`;
        shape.choose(now.shape);
        colour.choose(now.colour);
        texture.choose(now.texture);
        radius.set(now.radius);
        adder.disabled = objects.length === book.MOST;
        remover.disabled = objects.length === 1;
      },
    };
  }

  // Controls of the search. `change` gets {method}, {width}, {temperature} or {draw}, and `begin` how the text begins.
  function searchControls({ method, width, temperature, draw }, change, begin) {
    const beam = slider("Width", { min: 2, max: 5, step: 1 }, (value) => `${value} hypotheses`,
      (value) => change({ width: value }));
    const heat = slider("Temperature", { min: 0.1, max: 2, step: 0.1 }, (value) => value.toFixed(1),
      (value) => change({ temperature: value }));
    const seed = element("input", { type: "number", min: 0, max: 999999, value: draw, className: "laboratory-number" });
    const seeded = () => Math.min(999999, Math.abs(Math.trunc(Number(seed.value))) || 0);
    seed.addEventListener("input", () => change({ draw: seeded() }));
    const again = button("Draw again", () => {
      seed.value = seeded() + 1;
      change({ draw: seeded() });
    });
    const label = (text, input, className) => element("label", { className }, element("span", {}, text), input);
    const sampling = row(heat, label("Seed", seed, "laboratory-slider"), again);
    const show = (value) => {
      beam.hidden = value !== "beam";
      sampling.hidden = value !== "sample";
    };
    const names = [["greedy", "greedy"], ["sample", "sampling"], ["beam", "beam search"]];
    const choice = radios("method", "How the sentence is chosen", names, (value) => {
      show(value);
      change({ method: value });
    });
    choice.choose(method);
    beam.set(width);
    heat.set(temperature);
    show(method);
    const prefix = element("input", {
      type: "text", className: "laboratory-prefix", autocomplete: "off", spellcheck: false, maxLength: 400,
    });
    prefix.addEventListener("input", () => begin(prefix.value));
    const clear = button("Clear", () => {
      prefix.value = "";
      begin("");
    });
    const note = element("p", { className: "laboratory-note", role: "status" });
    return {
      node: element("div", {}, choice, beam, sampling,
        row(label("Begin the sentence yourself", prefix, "laboratory-begin"), clear), note),
      showPrefix: (words) => (prefix.value = words.join(" ")),
      note: (...message) => note.replaceChildren(...message),
    };
  }

  Object.assign(book, { sceneControls, searchControls });
})(attentionBook);
