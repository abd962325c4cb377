// The picture of the scene, the map of a word over it, and a handle on every object: drag it, or use the arrow keys.
(function (book) {
  "use strict";

  const { element, SIDE } = book;
  const OVERLAY = [200, 0, 130], OPACITY = 0.8, PALE = 0.5; // as in companion.plots.images
  const KEYS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  // Put one colour, red green blue alpha, into each pixel of a square canvas.
  function putPixels(canvas, side, colour) {
    canvas.width = canvas.height = side;
    const context = canvas.getContext("2d"), image = context.createImageData(side, side);
    for (let p = 0; p < side * side; p++) image.data.set(colour(p), 4 * p);
    context.putImageData(image, 0, 0);
  }

  // Draw a map, one pixel for each place: the larger the weight, the more of one strong colour. With `pale`, everything
  // below becomes paler first.
  function drawMap(canvas, weights, pale) {
    const top = Math.max(...weights);
    putPixels(canvas, Math.sqrt(weights.length), (p) => {
      const share = (OPACITY * weights[p]) / top, below = pale ? (1 - share) * (1 - PALE) : 0, alpha = share + below;
      return [...OVERLAY.map((c) => (share * c + below * 255) / (alpha || 1)), 255 * alpha];
    });
  }

  const nameOf = ({ size, texture, colour, shape }) =>
    [size, texture === "plain" ? null : texture, colour, shape].filter(Boolean).join(" ");

  // Positions, whole pixels, at which an object of this radius is within the picture.
  const clamp = (position, radius) =>
    Math.min(Math.floor(SIDE - 0.5 - radius), Math.max(Math.ceil(radius - 0.5), position));

  // The picture with its handles. `on` has the functions `select(i)`, `focus(i)`, `move(i, row, col)`,
  // `resize(i, step)` and `remove(i)`.
  class Picture {
    constructor(on) {
      this.on = on;
      this.picture = element("canvas", { className: "laboratory-picture", role: "img" });
      this.map = element("canvas", { className: "laboratory-map", hidden: true, "aria-hidden": "true" });
      this.handles = element("div", { role: "group", "aria-label": "Objects" });
      this.node = element("div", { className: "laboratory-stage" }, this.picture, this.map, this.handles);
    }

    drawScene({ image }, objects) {
      putPixels(this.picture, SIDE, (p) => [image[3 * p], image[3 * p + 1], image[3 * p + 2], 255]);
      this.picture.setAttribute("aria-label", `A drawn scene: ${objects.map(nameOf).join(", ")}`);
      const handles = this.handles.children;
      while (handles.length > objects.length) this.handles.lastChild.remove();
      while (handles.length < objects.length) this.handles.append(this.handle(handles.length));
      objects.forEach((object, i) => this.place(handles[i], object));
    }

    place(handle, object) {
      const { row, col, radius } = object, percent = (pixels) => `${(100 * pixels) / SIDE}%`;
      Object.assign(handle.style, {
        top: percent(row - radius + 0.5), left: percent(col - radius + 0.5), zIndex: 50 - Math.round(radius),
        width: percent(2 * radius), height: percent(2 * radius),
      });
      Object.assign(handle, { row, col });
      handle.setAttribute("aria-label", `${nameOf(object)}, row ${row}, column ${col}`);
    }

    showSelected(selected) {
      [...this.handles.children].forEach((handle, i) => handle.setAttribute("aria-pressed", i === selected));
    }

    // Show a map over the picture, or the picture alone.
    showMap(weights) {
      this.map.hidden = !weights;
      if (weights) drawMap(this.map, weights, true);
    }

    handle(i) {
      const node = element("button", {
        type: "button", className: "laboratory-handle", "aria-describedby": "laboratory-keys", "aria-pressed": "false",
      });
      let held = null; // where in the object the pointer took it
      const at = (event) => {
        const box = this.picture.getBoundingClientRect();
        return [((event.clientY - box.top) / box.height) * SIDE, ((event.clientX - box.left) / box.width) * SIDE];
      };
      node.addEventListener("pointerdown", (event) => {
        const [row, col] = at(event);
        held = [row - node.row, col - node.col];
        node.setPointerCapture(event.pointerId);
        node.focus({ preventScroll: true });
      });
      node.addEventListener("pointermove", (event) => {
        if (!held) return;
        const [row, col] = at(event);
        this.on.move(i, Math.round(row - held[0]), Math.round(col - held[1]));
      });
      for (const end of ["pointerup", "pointercancel"]) node.addEventListener(end, () => (held = null));
      node.addEventListener("click", () => this.on.select(i));
      node.addEventListener("focus", () => this.on.focus(i));
      node.addEventListener("keydown", (event) => this.press(i, node, event));
      return node;
    }

    press(i, node, event) {
      const pixels = event.shiftKey ? 4 : 1, [down, right] = KEYS[event.key] ?? [];
      if (down !== undefined) this.on.move(i, node.row + pixels * down, node.col + pixels * right);
      else if (event.key === "+" || event.key === "-") this.on.resize(i, event.key === "+" ? 1 : -1);
      else if (event.key === "Delete" || event.key === "Backspace") this.on.remove(i);
      else return;
      event.preventDefault();
    }
  }

  Object.assign(book, { Picture, drawMap, nameOf, clamp });
})(attentionBook);
