// Arithmetic on arrays for the captioner: reading the weights, matrix products, convolutions and activations.
//
// A matrix is a Float32Array, row by row; vectors for several places or hypotheses stand one after the other.
// This file, simd.js, captioner.js and search.js are functions, which also run in a worker (see engine.js).
attentionBook.defineArrays = function (book) {
  "use strict";

  const SCRATCH = 1 << 18; // floats; the largest product of the model has 221,184 in and out

  // The arrays of a model by name, in single precision, each with its shape (companion.exporting.arrays).
  function unpack({ tensors, data }) {
    const text = atob(data), bytes = new Uint8Array(text.length), entries = new Map();
    const arrays = {}, shapes = {};
    for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
    for (const entry of tensors) entries.set(entry.name, entry);
    for (const { name, dtype, shape, offset } of tensors) {
      if (name.endsWith(".scale_exponent")) continue;
      const count = shape.reduce((a, b) => a * b, 1), exponents = entries.get(`${name}.scale_exponent`);
      let values = new Float32Array(count);
      if (dtype === "float32") values = new Float32Array(bytes.buffer, offset, count);
      else {
        const integers = new Int8Array(bytes.buffer, offset, count), row = count / shape[0];
        const scales = new Int8Array(bytes.buffer, exponents.offset, shape[0]);
        scales.forEach((exponent, r) => {
          const scale = 2 ** exponent;
          for (let i = r * row; i < (r + 1) * row; i++) values[i] = integers[i] * scale;
        });
      }
      arrays[name] = shape.length === 4 ? channelsLast(values, shape) : values;
      shapes[name] = shape;
    }
    const copies = book.placed(arrays, SCRATCH);
    return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, { values: copies[name], shape }]));
  }

  // The kernels of a convolution with the channels of a pixel side by side, as the pixels have them.
  function channelsLast(values, [out, channels, rows, cols]) {
    const moved = new Float32Array(values.length), area = rows * cols;
    for (let o = 0; o < out; o++) {
      for (let c = 0; c < channels; c++) {
        for (let k = 0; k < area; k++) moved[(o * area + k) * channels + c] = values[(o * channels + c) * area + k];
      }
    }
    return moved;
  }

  // C = A B' + bias for A of rows x K and B of cols x K.
  function matmul(A, B, cols, K, bias) {
    const C = new Float32Array((A.length / K) * cols);
    if (!book.product(A, B, cols, K, C)) multiply(A, B, cols, K, C);
    if (bias) for (let i = 0; i < C.length; i++) C[i] += bias[i % cols];
    return C;
  }

  // C = A B', four columns at a time.
  function multiply(A, B, cols, K, C) {
    for (let m = 0; m * K < A.length; m++) {
      for (let n = 0; n < cols; n += 4) {
        const [b0, b1, b2, b3] = [0, 1, 2, 3].map((i) => Math.min(n + i, cols - 1) * K);
        let c0 = 0, c1 = 0, c2 = 0, c3 = 0;
        for (let k = 0; k < K; k++) {
          const x = A[m * K + k];
          c0 += x * B[b0 + k]; c1 += x * B[b1 + k]; c2 += x * B[b2 + k]; c3 += x * B[b3 + k];
        }
        C.set([c0, c1, c2, c3].slice(0, cols - n), m * cols + n); // of the last four, as many as there are
      }
    }
  }

  // A convolution with padding 1 over places x channels (row by row), and a ReLU.
  function convolve(x, side, { values, shape: [out, channels, kernel] }, bias, stride) {
    const size = (side + 2 - kernel) / stride + 1, K = channels * kernel * kernel;
    const patches = new Float32Array(size * size * K);
    for (let p = 0; p < size * size; p++) {
      for (let k = 0; k < kernel * kernel; k++) {
        const r = Math.floor(p / size) * stride + Math.floor(k / kernel) - 1;
        const c = (p % size) * stride + (k % kernel) - 1;
        if (r < 0 || c < 0 || r >= side || c >= side) continue;
        const from = (r * side + c) * channels, to = p * K + k * channels;
        for (let i = 0; i < channels; i++) patches[to + i] = x[from + i];
      }
    }
    return relu(matmul(patches, values, out, K, bias));
  }

  function relu(x) {
    for (let i = 0; i < x.length; i++) if (x[i] < 0) x[i] = 0;
    return x;
  }

  // x * Phi(x), with the error function of Abramowitz and Stegun, 7.1.26 (error below 2e-7).
  function gelu(x) {
    for (let i = 0; i < x.length; i++) {
      const z = Math.abs(x[i]) / Math.SQRT2, t = 1 / (1 + 0.3275911 * z);
      const poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
      const erf = 1 - poly * Math.exp(-z * z);
      x[i] *= 0.5 * (1 + (x[i] < 0 ? -erf : erf));
    }
    return x;
  }

  function add(x, y) {
    for (let i = 0; i < x.length; i++) x[i] += y[i];
    return x;
  }

  // Scores into probabilities, in place; returns the logarithm of their sum before.
  function softmax(scores) {
    let top = -Infinity, sum = 0;
    for (const score of scores) if (score > top) top = score;
    for (let i = 0; i < scores.length; i++) sum += scores[i] = Math.exp(scores[i] - top);
    for (let i = 0; i < scores.length; i++) scores[i] /= sum;
    return top + Math.log(sum);
  }

  Object.assign(book, { unpack, matmul, convolve, relu, gelu, add, softmax });
};
attentionBook.defineArrays(attentionBook);
