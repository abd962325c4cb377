// The inner loop of the matrix products as WebAssembly with SIMD: four numbers at a time. Where a browser has no SIMD,
// the same products are computed by the loop in arrays.js, which takes several times as long.
//
// The module is written down here, instruction by instruction, so that no other file and no compiler is needed. Its
// functions multiply a few rows of A by a few rows of B, both in the module's memory:
//
//   for k in 0, 16, 32, ... below `bytes`:  sum[i][j] += A[a + i * bytes + k] * B[b + j * bytes + k]   (in four lanes)
//   C[c + i * stride + 4 * j] = the sum over the lanes of sum[i][j]
attentionBook.defineSimd = function (book) {
  "use strict";

  const I32 = 0x7f, V128 = 0x7b, PAGE = 65536;
  const get = (local) => [0x20, local], set = (local) => [0x21, local];
  const ADD = [0x6a], F32_ADD = [0x92], LESS = [0x49];
  const LOAD = [0xfd, 0x00, 0, 0], STORE = [0x38, 2], MULTIPLY4 = [0xfd, 0xe6, 0x01], ADD4 = [0xfd, 0xe4, 0x01];
  const lane = (i) => [0xfd, 0x1f, i];

  // An unsigned integer in the format's variable length, and a vector of items with its length before it.
  const unsigned = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...unsigned(n >>> 7)]);
  const vector = (items) => [...unsigned(items.length), ...items.flat()];
  const sized = (bytes) => [...unsigned(bytes.length), ...bytes];
  const range = (n) => Array.from({ length: n }, (_, i) => i);

  // The code of a function (a, b, c, bytes, stride) for `rows` rows of A and `cols` rows of B.
  function kernel(rows, cols) {
    const [a, b, c, bytes, stride, k] = range(6); // locals: the parameters, and then those declared below
    const left = (i) => 6 + i, right = (j) => 6 + rows + j;
    const x = (i) => 6 + rows + cols + i, y = 6 + 2 * rows + cols, sum = (i, j) => y + 1 + i * cols + j;
    const pointers = (first, start, n) => range(n).flatMap((i) =>
      [...(i ? [...get(first(i - 1)), ...get(bytes), ...ADD] : get(start)), ...set(first(i))]);
    const load = (pointer, into) => [...get(pointer), ...get(k), ...ADD, ...LOAD, ...set(into)];
    const accumulate = (i, j) => [...get(sum(i, j)), ...get(x(i)), ...get(y), ...MULTIPLY4, ...ADD4, ...set(sum(i, j))];
    const total = (at) => range(4).flatMap((i) => [...get(at), ...lane(i), ...(i ? F32_ADD : [])]);
    return sized([
      ...vector([[1 + rows + cols, I32], [rows + 1 + rows * cols, V128]]),
      ...pointers(left, a, rows), ...pointers(right, b, cols),
      0x03, 0x40, // loop
      ...range(rows).flatMap((i) => load(left(i), x(i))),
      ...range(cols).flatMap((j) => [...load(right(j), y), ...range(rows).flatMap((i) => accumulate(i, j))]),
      ...get(k), 0x41, 16, ...ADD, ...set(k), ...get(k), ...get(bytes), ...LESS, 0x0d, 0, // again, if k < bytes
      0x0b,
      ...range(rows).flatMap((i) => [
        ...range(cols).flatMap((j) => [...get(c), ...total(sum(i, j)), ...STORE, ...unsigned(4 * j)]),
        ...get(c), ...get(stride), ...ADD, ...set(c),
      ]),
      0x0b, // end of the function
    ]);
  }

  const text = (word) => vector([...word].map((letter) => letter.charCodeAt(0)));
  const section = (id, items) => [id, ...sized(vector(items))];

  // A module with a memory of so many pages and two functions: `block` of 4 x 2 and `row` of 1 x 4.
  function moduleBytes(pages) {
    return Uint8Array.from([
      0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
      ...section(1, [[0x60, ...vector(range(5).map(() => [I32])), 0]]), // five integers, and no result
      ...section(3, [[0], [0]]),
      ...section(5, [[0x00, ...unsigned(pages)]]),
      ...section(7, [[...text("memory"), 2, 0], [...text("block"), 0, 0], [...text("row"), 0, 1]]),
      ...section(10, [kernel(4, 2), kernel(1, 4)]),
    ]);
  }

  const products = new WeakMap(); // from a module's memory to the product of matrices in it

  // Copy arrays, {name: Float32Array}, into the memory of a new module, with room for products of `scratch` floats in
  // and out. Without SIMD the arrays are returned as they are.
  function placed(arrays, scratch) {
    const count = Object.values(arrays).reduce((sum, values) => sum + values.length + 3, scratch);
    const bytes = moduleBytes(Math.ceil((4 * count) / PAGE));
    if (!globalThis.WebAssembly?.validate(bytes)) return arrays;
    const { memory, block, row } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
    let next = 4 * scratch;
    const copies = Object.entries(arrays).map(([name, values]) => {
      const copy = new Float32Array(memory.buffer, next, values.length);
      copy.set(values);
      next += 16 * Math.ceil(values.length / 4);
      return [name, copy];
    });
    products.set(memory.buffer, (A, B, cols, K, C) => {
      const rows = A.length / K, bytes = 4 * K, out = 4 * A.length, stride = 4 * cols;
      if (A.length + C.length > scratch || K % 4 || cols < 4) return false;
      new Float32Array(memory.buffer, 0, A.length).set(A);
      for (let m = 0; m < rows; ) {
        const [run, height, width] = m + 4 <= rows ? [block, 4, 2] : [row, 1, 4];
        for (let n = 0; n < cols; n += width) {
          const first = Math.min(n, cols - width); // the last ones may be computed twice
          run(m * bytes, B.byteOffset + first * bytes, out + m * stride + 4 * first, bytes, stride);
        }
        m += height;
      }
      C.set(new Float32Array(memory.buffer, out, C.length));
      return true;
    });
    return Object.fromEntries(copies);
  }

  // Compute C = A B' by the module in whose memory B lies; returns whether there is one that can.
  const product = (A, B, cols, K, C) => products.get(B.buffer)?.(A, B, cols, K, C) ?? false;

  Object.assign(book, { placed, product });
};
attentionBook.defineSimd(attentionBook);
