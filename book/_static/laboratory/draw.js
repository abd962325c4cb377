// Draw a scene: the same pixels and masks as companion.scenes.rendering, to the last bit.
//
// Coordinates inside are integers, in eighths of a pixel; a pixel is sampled at 4 x 4 points. `background` has Python's
// random numbers, so that scenes.render_scene(objects, seed=...) gives the picture that is seen here.
(function (book) {
  "use strict";

  const SIDE = 64; // pixels along each edge of a scene
  const UNIT = 8, SAMPLES = 16, POINTS = [-3, -1, 1, 3];
  const RGB = {
    red: [214, 32, 38], orange: [247, 138, 18], yellow: [250, 228, 44], green: [26, 148, 58],
    cyan: [58, 214, 226], blue: [34, 66, 214], purple: [124, 36, 160], pink: [250, 142, 194],
  };
  // Corners, in thousandths of the half extent, x to the right and y up.
  const CORNERS = {
    triangle: [[0, 1000], [1000, -1000], [-1000, -1000]],
    star: [[0, 1000], [270, 336], [1000, 274], [450, -170], [618, -1000], [0, -560], [-618, -1000], [-450, -170],
      [-1000, 274], [-270, 336]],
  };
  const BAR = 380; // half the width of a cross's bars, in thousandths of its half extent

  // Python's round: a half goes to the even neighbour.
  function round(x) {
    const below = Math.floor(x), rest = x - below;
    return rest === 0.5 ? below + (below & 1) : Math.round(x);
  }

  function inPolygon(x, y, corners, radius) {
    x *= 1000;
    y *= 1000;
    let odd = false;
    for (let i = 0; i < corners.length; i++) {
      const [u1, v1] = corners[i], [u2, v2] = corners[(i + 1) % corners.length];
      const x1 = u1 * radius, y1 = v1 * radius, x2 = u2 * radius, y2 = v2 * radius;
      if ((y1 > y) === (y2 > y)) continue;
      const side = (x - x1) * (y2 - y1) - (x2 - x1) * (y - y1);
      if (y2 > y1 ? side < 0 : side > 0) odd = !odd;
    }
    return odd;
  }

  // Whether a point lies in a shape: x to the right and y up from its centre.
  function covers(shape, x, y, radius) {
    if (shape === "circle") return x * x + y * y <= radius * radius;
    const inSquare = Math.abs(x) <= radius && Math.abs(y) <= radius;
    if (shape === "square") return inSquare;
    if (shape === "cross") return inSquare && Math.min(Math.abs(x), Math.abs(y)) * 1000 <= BAR * radius;
    if (shape === "heart") {
      x = Math.floor((x * 114) / 100);
      y = Math.floor((y * 112 + 12 * radius) / 100);
      return (x * x + y * y - radius * radius) ** 3 <= x * x * y ** 3 * radius;
    }
    return inPolygon(x, y, CORNERS[shape], radius);
  }

  // The sample points covered (0 to 16) in each pixel of a square box around an object, and where the box begins.
  function silhouette(object) {
    const row = round(object.row), col = round(object.col);
    const down = 2 * round(4 * (object.row - row)), right = 2 * round(4 * (object.col - col));
    const radius = 2 * round(4 * object.radius), margin = Math.ceil(radius / UNIT) + 1, side = 2 * margin + 1;
    const counts = new Uint8Array(side * side);
    for (let i = 0; i < side; i++) {
      for (let j = 0; j < side; j++) {
        for (const p of POINTS) {
          const y = -(UNIT * (i - margin) + p - down);
          for (const q of POINTS) {
            if (covers(object.shape, UNIT * (j - margin) + q - right, y, radius)) counts[i * side + j] += 1;
          }
        }
      }
    }
    return { counts, side, top: row - margin, left: col - margin };
  }

  // The colour of a pixel of a box: plain, or diagonal stripes three pixels wide in a row.
  function fill(object, i, j, side) {
    const colour = RGB[object.colour];
    if (object.texture === "plain" || Math.floor((i + j - side + 2) / 3) % 2 === 0) return colour;
    return colour.map((channel) => Math.floor((channel * 9) / 20));
  }

  // Return {image, masks, problems}: bytes row col channel; for each object a byte a pixel, 1 where it is visible; and
  // the pairs of objects, larger one first, that overlap although neither lies wholly inside the other.
  function paint(objects, background) {
    const image = Uint8Array.from(background), masks = objects.map(() => new Uint8Array(SIDE * SIDE)), problems = [];
    const order = objects.map((_, i) => i).sort((a, b) => objects[b].radius - objects[a].radius);
    order.forEach((i, rank) => {
      const { counts, side, top, left } = silhouette(objects[i]), own = [];
      for (let k = 0; k < counts.length; k++) {
        const r = top + Math.floor(k / side), c = left + (k % side), n = counts[k];
        if (!n || r < 0 || c < 0 || r >= SIDE || c >= SIDE) continue;
        const pixel = r * SIDE + c, colour = fill(objects[i], Math.floor(k / side), k % side, side);
        for (let channel = 0; channel < 3; channel++) {
          const at = 3 * pixel + channel;
          image[at] = Math.floor((image[at] * (SAMPLES - n) + colour[channel] * n + SAMPLES / 2) / SAMPLES);
        }
        if (n >= SAMPLES / 2) own.push(pixel);
      }
      for (const other of order.slice(0, rank)) {
        const nested = book.inside(objects[i], objects[other]), on = own.filter((pixel) => masks[other][pixel]).length;
        if (nested ? on < own.length : on > 0) problems.push([other, i]);
      }
      for (const pixel of own) {
        for (const mask of masks) mask[pixel] = 0;
        masks[i][pixel] = 1;
      }
    });
    return { image, masks, problems };
  }

  // Python's random.Random(seed), the Mersenne Twister (Matsumoto and Nishimura 1998), for seeds below 2 ** 32.
  function pythonRandom(seed) {
    const N = 624, M = 397, state = new Uint32Array(N);
    state[0] = 19650218;
    for (let i = 1; i < N; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
    let i = 1;
    const advance = () => {
      if (++i === N) {
        state[0] = state[N - 1];
        i = 1;
      }
    };
    const mixed = () => state[i - 1] ^ (state[i - 1] >>> 30);
    for (let k = 0; k < N; k++, advance()) state[i] = (state[i] ^ Math.imul(mixed(), 1664525)) + seed;
    for (let k = 1; k < N; k++, advance()) state[i] = (state[i] ^ Math.imul(mixed(), 1566083941)) - i;
    state[0] = 0x80000000;
    let next = N;
    const twist = () => {
      for (let k = 0; k < N; k++) {
        const y = (state[k] & 0x80000000) | (state[(k + 1) % N] & 0x7fffffff);
        state[k] = state[(k + M) % N] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      next = 0;
    };
    const bits = () => {
      if (next === N) twist();
      let y = state[next++];
      y ^= y >>> 11;
      y ^= (y << 7) & 0x9d2c5680;
      y ^= (y << 15) & 0xefc60000;
      return (y ^ (y >>> 18)) >>> 0;
    };
    return { bits, random: () => ((bits() >>> 5) * 67108864 + (bits() >>> 6)) / 9007199254740992 };
  }

  // The background of scenes.render_scene with this seed: a muted colour, a slight gradient and a little noise.
  function background(seed) {
    const { bits, random } = pythonRandom(seed);
    const randint = (low, high) => low + Math.floor(random() * (high - low + 1));
    const grey = randint(150, 188), colour = [0, 0, 0].map(() => grey + randint(-8, 8));
    const down = randint(-12, 12), right = randint(-12, 12), pixels = new Uint8ClampedArray(SIDE * SIDE * 3);
    let word = 0;
    for (let p = 0; p < SIDE * SIDE; p++) {
      word = p % 4 ? word >>> 8 : bits();
      const noise = (((word & 255) * 7) >> 8) - 3;
      const gradient = Math.floor((down * (Math.floor(p / SIDE) - 32) + right * ((p % SIDE) - 32)) / SIDE);
      for (let channel = 0; channel < 3; channel++) pixels[3 * p + channel] = colour[channel] + gradient + noise;
    }
    return pixels;
  }

  Object.assign(book, { SIDE, RGB, paint, background, pythonRandom });
})((globalThis.attentionBook ??= {}));
