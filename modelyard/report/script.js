// Makes the page answer: values under the pointer, tables that sort, mistakes that can be picked out.
// Without it everything can still be read.
"use strict";
(() => {
  const tip = document.getElementById("tip");

  const say = (lines, x, y) => {
    tip.replaceChildren(...lines.map((line) => Object.assign(document.createElement("div"), { textContent: line })));
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const left = x + 14 + width > innerWidth ? x - width - 14 : x + 14;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, y - height - 10)}px`;
  };
  const hush = () => { tip.hidden = true; };
  addEventListener("scroll", hush, { passive: true });

  // -- charts: a line follows the pointer, or the arrow keys
  for (const chart of document.querySelectorAll(".chart")) {
    const stops = JSON.parse(chart.dataset.hover);
    const plot = chart.querySelector(".plot");
    const line = plot.appendChild(Object.assign(document.createElement("div"), { className: "cursor", hidden: true }));
    let now = -1;
    const show = (index) => {
      now = Math.max(0, Math.min(stops.length - 1, index));
      const box = plot.getBoundingClientRect();
      line.style.left = `${stops[now][0]}%`;
      line.hidden = false;
      say(stops[now][1], box.left + (box.width * stops[now][0]) / 100, box.top + 40);
    };
    const leave = () => { line.hidden = true; hush(); };
    if (!stops.length) continue;
    chart.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      const at = (100 * (event.clientX - box.left)) / box.width;
      let nearest = 0;
      stops.forEach(([place], index) => {
        if (Math.abs(place - at) < Math.abs(stops[nearest][0] - at)) nearest = index;
      });
      show(nearest);
    });
    chart.addEventListener("pointerleave", leave);
    chart.addEventListener("blur", leave);
    chart.addEventListener("keydown", (event) => {
      const move = { ArrowRight: now + 1, ArrowLeft: now < 0 ? stops.length - 1 : now - 1, Home: 0, End: stops.length - 1 }[event.key];
      if (event.key === "Escape") leave();
      if (move === undefined) return;
      event.preventDefault();
      show(move);
    });
  }

  // -- the confusion table: what a cell holds; a click picks out such mistakes
  for (const map of document.querySelectorAll(".heat-map")) {
    const labels = JSON.parse(map.dataset.labels);
    const counts = JSON.parse(map.dataset.counts);
    const cell = Number(map.dataset.cell);
    const cursor = map.querySelector(".cursor");
    const find = (event) => {
      const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
      const [i, j] = [Math.floor(point.y / cell), Math.floor(point.x / cell)];
      return i >= 0 && j >= 0 && i < labels.length && j < labels.length ? [i, j] : null;
    };
    const leave = () => { cursor.setAttribute("visibility", "hidden"); hush(); };
    map.addEventListener("pointermove", (event) => {
      const place = find(event);
      if (!place) return leave();
      const [i, j] = place;
      const total = counts[i].reduce((sum, many) => sum + many, 0);
      cursor.setAttribute("x", j * cell);
      cursor.setAttribute("y", i * cell);
      cursor.setAttribute("visibility", "visible");
      const share = total ? ` (${((100 * counts[i][j]) / total).toFixed(1)}%)` : "";
      say([`true: ${labels[i]}`, `answered: ${labels[j]}`, `${counts[i][j]} of ${total}${share}`], event.clientX, event.clientY);
    });
    map.addEventListener("pointerleave", leave);
    map.addEventListener("click", (event) => {
      const place = find(event);
      if (place && place[0] !== place[1] && counts[place[0]][place[1]]) pick(labels[place[0]], labels[place[1]]);
    });
  }

  // -- tables: a heading sorts
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: heading.textContent });
      heading.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = heading.getAttribute("aria-sort") !== "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        const key = (row) => row.cells[column].dataset.sort;
        const compare = (a, b) => {
          if (column === 0) return a.localeCompare(b, undefined, { numeric: true });
          return Number(a) - Number(b);
        };
        // what is not known stays at the end, whichever way the table is sorted
        body.append(...[...body.rows].sort((a, b) => {
          const [x, y] = [key(a), key(b)];
          if (x === "" || y === "") return (x === "") - (y === "");
          return up ? compare(x, y) : compare(y, x);
        }));
      });
    });
  }

  // -- mistakes: by split, by true label, by answer
  const form = document.querySelector("form.filter");
  const filter = () => {
    const { part, true: trueLabel, answer } = form.elements;
    let shown = 0;
    for (const group of document.querySelectorAll("#mistakes .part")) {
      let here = 0;
      const wanted = !part || part.value === "" || part.value === group.dataset.part;
      for (const card of group.querySelectorAll(".card")) {
        const fits = (select, names) => !select || select.value === "" || JSON.parse(names).includes(select.value);
        card.hidden = !(wanted && fits(trueLabel, card.dataset.true) && fits(answer, card.dataset.answers));
        here += !card.hidden;
      }
      group.hidden = here === 0;
      shown += here;
    }
    form.querySelector("output").textContent = shown === 1 ? "1 shown" : `${shown} shown`;
  };
  const pick = (trueLabel, answer) => {
    if (!form) return;
    const set = (select, value) => {
      if (select) select.value = [...select.options].some((option) => option.value === value) ? value : "";
    };
    set(form.elements.part, "");
    set(form.elements.true, trueLabel);
    set(form.elements.answer, answer);
    filter();
    document.getElementById("mistakes").scrollIntoView();
  };
  if (form) {
    form.hidden = false;
    form.addEventListener("change", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    for (const link of document.querySelectorAll("a[data-true]")) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        pick(link.dataset.true, link.dataset.answer);
      });
    }
    filter();
  }
})();
