// Run the captioner in a worker, so that the picture follows the finger while the model computes.
//
// A page opened from a file may not start a worker from another file. It may start one from a Blob, so the source of
// simd.js, arrays.js, captioner.js and search.js is put into one. Where even that is refused, the page computes itself.
(function (book) {
  "use strict";

  function workerSource() {
    const parts = [book.defineSimd, book.defineArrays, book.defineCaptioner, book.defineSearch];
    return `const attentionBook = {};
      ${parts.map((define) => `(${define})(attentionBook);`).join("\n")}
      let serve = null;
      onmessage = ({data: {id, model, request}}) => {
        if (model) serve = attentionBook.makeServer(model);
        else postMessage({id, result: serve(request)});
      };`;
  }

  function startWorker(model) {
    const address = URL.createObjectURL(new Blob([workerSource()], { type: "text/javascript" }));
    const worker = new Worker(address), waiting = new Map();
    let count = 0;
    worker.postMessage({ model });
    worker.onmessage = ({ data: { id, result } }) => {
      waiting.get(id)(result);
      waiting.delete(id);
    };
    return (request) => new Promise((resolve) => {
      waiting.set(++count, resolve);
      worker.postMessage({ id: count, request });
    });
  }

  // Return a function from a request to the promise of its result (see makeServer).
  function connect(model) {
    try {
      return startWorker(model);
    } catch {
      const serve = book.makeServer(model);
      return async (request) => serve(request);
    }
  }

  // Return a function that takes requests at any rate and answers the latest: while one is computed, newer ones replace
  // each other. `answer` is called with the result and what was passed beside the request.
  function latestOnly(ask, answer) {
    let next = null, running = false;
    return async (request, context) => {
      next = { request, context };
      if (running) return;
      running = true;
      while (next) {
        const current = next;
        next = null;
        answer(await ask(current.request), current.context);
      }
      running = false;
    };
  }

  Object.assign(book, { connect, latestOnly });
})(attentionBook);
