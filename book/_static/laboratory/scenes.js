// Scenes to begin with, what a training scene never has, and a scene as Python.
(function (book) {
  "use strict";

  const { SHAPES, COLOURS, SIDE, nameOf } = book;
  const MOST = 4; // objects in a scene
  const RADII = { min: 5.5, max: 15.5, step: 1 }, LARGE = 9.5; // pixels; training has 5.5 to 7.5 and 11.5 to 15.5
  const GAP = 3; // pixels between two objects
  const ROOM_BELOW_CENTRE = { circle: 0, square: 0, heart: -2, triangle: 5 }; // of an object that contains another
  const HELD_OUT = ["purple triangle", "green star", "yellow heart", "cyan cross", "pink circle", "orange square"];
  const isHeldOut = ({ colour, shape }) => HELD_OUT.includes(`${colour} ${shape}`);
  const sizeOf = (radius) => (radius < LARGE ? "small" : "large");

  const FIRST = [
    { shape: "circle", colour: "red", size: "small", texture: "plain", row: 20, col: 14, radius: 7.5 },
    { shape: "square", colour: "blue", size: "large", texture: "plain", row: 42, col: 44, radius: 12.5 },
    { shape: "star", colour: "yellow", size: "small", texture: "plain", row: 14, col: 44, radius: 7.5 },
  ];

  // Return a position at which an object of this radius is clear of the others, or null after many attempts.
  function clearPlace(objects, radius, random) {
    const margin = Math.floor(radius) + 1, free = () => margin + Math.floor(random() * (SIDE - 2 * margin));
    for (let attempt = 0; attempt < 60; attempt++) {
      const row = free(), col = free();
      const clear = (o) => Math.max(Math.abs(row - o.row), Math.abs(col - o.col)) >= radius + o.radius + GAP;
      if (objects.every(clear)) return { row, col };
    }
    return null;
  }

  // Return an object of a pair of colour and shape that training has, or of any pair with `shape`.
  function randomObject(radius, random, shapes = SHAPES) {
    const choice = (items) => items[Math.floor(random() * items.length)];
    const object = { shape: choice(shapes), colour: choice(COLOURS), size: sizeOf(radius), radius };
    if (isHeldOut(object)) return randomObject(radius, random, shapes);
    return { ...object, texture: random() < 0.3 ? "striped" : "plain" };
  }

  // Return the objects with a new one at a free place, or null if there is none.
  function withAnother(objects, radius, random) {
    const place = clearPlace(objects, radius, random);
    return place && [...objects, { ...randomObject(radius, random), ...place }];
  }

  // Return the objects of a random scene: two to four, and sometimes one of them inside another.
  function randomScene(random) {
    const count = 2 + Math.floor(random() * 3);
    for (;;) {
      let objects = [];
      if (random() < 0.35) {
        const shaped = randomObject(15.5, random, Object.keys(ROOM_BELOW_CENTRE));
        const outer = { ...shaped, ...clearPlace([], 15.5, random) };
        const inner = { ...randomObject(5.5, random), row: outer.row + ROOM_BELOW_CENTRE[outer.shape], col: outer.col };
        if (inner.colour === outer.colour) continue; // red on red would be invisible
        objects = [{ ...outer, texture: "plain" }, inner];
      }
      while (objects && objects.length < count) objects = withAnother(objects, random() < 0.6 ? 7.5 : 11.5, random);
      if (objects && !book.paint(objects, new Uint8Array(3 * SIDE * SIDE)).problems.length) return objects;
    }
  }

  // Return a line for each way in which a scene differs from every scene that the model was trained on.
  function oddities(objects, { problems }) {
    const lines = problems.map(([a, b]) => `The ${nameOf(objects[a])} and the ${nameOf(objects[b])} overlap. ` +
      "In training, objects are apart, or one lies wholly inside the other.");
    for (const object of objects) {
      if (isHeldOut(object)) lines.push(`No training scene has a ${object.colour} ${object.shape}.`);
      if (object.radius > 7.5 && object.radius < 11.5) {
        lines.push(`The ${object.colour} ${object.shape} is between the sizes of the training scenes; ` +
          `the truth check takes it for ${object.size}.`);
      }
    }
    return lines;
  }

  // Return the program that draws the same pixels with the companion.
  function asPython(objects, seed) {
    const lines = objects.map((object) => {
      const { row, col, radius } = object;
      return `    scenes.scene_object("a ${nameOf(object)}",\n        row=${row}, col=${col}, radius=${radius}),`;
    });
    return [
      "from companion import checkpoints, scenes", "", "scene = scenes.render_scene([", ...lines, `], seed=${seed})`,
      'model = checkpoints.load("scenes")', "image = scenes.image_tensor([scene])",
      "print(model.caption(image, beam=1)[0].text)",
    ].join("\n");
  }

  Object.assign(book, { FIRST, MOST, RADII, sizeOf, withAnother, randomScene, oddities, asPython });
})(attentionBook);
