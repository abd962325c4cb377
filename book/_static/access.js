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

  // On a phone, a table that is too wide becomes cards: a block for each row, and the heading of its column before each cell. The roles
  // say that it is a table still. A heading with a formula cannot be repeated as text; such a table scrolls.
  const phone = matchMedia("(max-width: 480px)");
  addEventListener("load", () => {
    const tables = [...document.querySelectorAll(".bd-content table.table")].filter(
      (table) => table.tHead?.rows.length === 1 && !table.querySelector("[colspan], [rowspan], thead .math"),
    );
    for (const table of tables) {
      const headings = [...table.tHead.rows[0].cells].map((heading) => heading.textContent.trim());
      table.setAttribute("role", "table");
      for (const part of [table.tHead, ...table.tBodies]) part.setAttribute("role", "rowgroup");
      for (const row of table.rows) {
        row.setAttribute("role", "row");
        for (const [column, cell] of [...row.cells].entries()) {
          cell.setAttribute("role", cell.tagName === "TH" ? "columnheader" : "cell");
          cell.dataset.heading = headings[column];
        }
      }
    }
    const fit = () => {
      for (const table of tables) {
        table.classList.remove("cards");
        table.tHead.classList.remove("visually-hidden");
        const cards = phone.matches && table.scrollWidth > table.parentElement.clientWidth;
        table.classList.toggle("cards", cards);
        table.tHead.classList.toggle("visually-hidden", cards);
      }
    };
    phone.addEventListener("change", fit);
    fit();
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
