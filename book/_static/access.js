/* What the theme leaves to do for the keyboard and for paper. */
(() => {
  "use strict";

  // Formulas that scroll sideways can be reached and scrolled by the keyboard; the theme sees to code, outputs and tables.
  const watched = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  addEventListener("load", () => {
    for (const formula of document.querySelectorAll(".bd-content div.math")) watched.observe(formula);
  });

  // Paper is white, and nothing on it can be opened.
  let closed = [];
  let theme = "light";
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const block of closed) block.open = true;
    theme = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
  });
  addEventListener("afterprint", () => {
    for (const block of closed) block.open = false;
    document.documentElement.dataset.theme = theme;
  });
})();
