// Makes a page answer: a theme to choose, values under the pointer, tables that sort, rows that can be picked out,
// commands to copy. It builds its own controls, so that without it everything can still be read and nothing is dead.
//
// What it finds in the markup:
//   .chart[data-hover]          JSON of [place in percent, lines of text]: stops along a line chart's .plot
//   svg [data-x][data-y][data-label], or <title>   marks of a drawing; the title is what is said of it
//   svg.heat-map                data-labels, data-counts, data-cell: the confusion table
//   table.sortable              every heading without data-plain sorts; a cell's data-value (or data-sort) stands for its text
//   [data-true] [data-answers] [data-searched]   rows that can be picked out: labels, as text or as JSON list; words to
//                               search beside those that are shown (data-answered and data-text are the same)
//   form.filter                 where to choose among the rows of its section; one is made where there is none
//   a[data-true][data-answer]   picks out such mistakes
//   pre, .commands dd, [data-copy]   can be copied
"use strict";
(() => {
  const root = document.documentElement;
  const KEY = "modelyard-theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // a page shown in a frame of its own has no storage, and then simply does not remember
  const stored = (value) => {
    try {
      return value === undefined ? localStorage.getItem(KEY) : localStorage.setItem(KEY, value);
    } catch (error) {
      if (error instanceof DOMException) return null;
      throw error;
    }
  };
  const remembered = stored();
  if (remembered === "light" || remembered === "dark") root.dataset.theme = remembered;

  const make = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  const start = () => {
    const tip = document.getElementById("tip") ?? document.body.appendChild(make("div", { id: "tip", hidden: true }));
    tip.removeAttribute("role"); // the pointer's way would be read aloud; what keys ask for is said below
    tip.setAttribute("aria-hidden", "true");
    const spoken = document.body.appendChild(make("div", { className: "visually-hidden" }));
    spoken.setAttribute("role", "status");
    tools();
    contents();
    const show = pointing(tip, spoken);
    lineCharts(show);
    drawings(show);
    const pick = filters();
    heatMaps(show, pick);
    sorting();
    copying(spoken);
    printing();
  };

  // -- theme, and opening what is folded away
  const tools = () => {
    const theme = make("button", { type: "button", className: "theme" });
    const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
    const name = () => {
      theme.textContent = isDark() ? "Light" : "Dark";
      theme.setAttribute("aria-label", isDark() ? "Light theme" : "Dark theme");
    };
    theme.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      stored(root.dataset.theme);
      name();
    });
    dark.addEventListener("change", name);
    name();
    const box = make("div", { className: "tools" }, theme);
    const folded = all("main details");
    if (folded.length) {
      const unfold = make("button", { type: "button", className: "unfold", textContent: "Open all" });
      const closed = () => folded.some((details) => !details.open);
      const label = () => { unfold.textContent = closed() ? "Open all" : "Close all"; };
      unfold.addEventListener("click", () => {
        const open = closed();
        for (const details of folded) details.open = open;
        label();
      });
      for (const details of folded) details.addEventListener("toggle", label);
      label();
      box.append(unfold);
    }
    (document.querySelector("body > nav") ?? document.querySelector("header") ?? document.body).append(box);
  };

  // -- contents: where the reader is
  const contents = () => {
    const links = new Map(all("body > nav a[href^='#']").map((link) => [link.hash.slice(1), link]));
    const sections = all("main section[id]").filter((section) => links.has(section.id));
    const list = document.querySelector("body > nav ol");
    if (!sections.length || !list) return;
    let current = null;
    const look = () => {
      const top = innerHeight * 0.3;
      const atEnd = scrollY + innerHeight >= root.scrollHeight - 2 && scrollY > 0;
      const passed = sections.filter((section) => section.getBoundingClientRect().top <= top);
      const now = atEnd ? sections.at(-1) : passed.at(-1) ?? sections[0];
      if (now === current) return;
      current = now;
      for (const [id, link] of links) {
        if (id === now.id) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
      const link = links.get(now.id);
      // only the list moves: the page stays where the reader holds it
      list.scrollTo({
        left: link.offsetLeft - list.offsetLeft - (list.clientWidth - link.offsetWidth) / 2,
        top: link.offsetTop - list.offsetTop - (list.clientHeight - link.offsetHeight) / 2,
      });
    };
    let waiting = false;
    const later = () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; look(); });
    };
    addEventListener("scroll", later, { passive: true });
    addEventListener("resize", later);
    look();
  };

  // -- what stands beside the pointer; arrow keys are told aloud as well
  const pointing = (tip, spoken) => {
    const show = {
      say: (lines, x, y, aloud = false) => {
        tip.replaceChildren(...lines.map((line) => make("div", { textContent: line })));
        tip.hidden = false;
        const { width, height } = tip.getBoundingClientRect();
        const left = x + 14 + width > innerWidth ? x - width - 14 : x + 14;
        const top = y - height - 10 < 4 ? y + 18 : y - height - 10;
        tip.style.left = `${Math.max(4, Math.min(left, innerWidth - width - 4))}px`;
        tip.style.top = `${Math.max(4, Math.min(top, innerHeight - height - 4))}px`;
        if (aloud) spoken.textContent = lines.join(", ");
      },
      hush: () => { tip.hidden = true; },
    };
    addEventListener("scroll", show.hush, { passive: true });
    return show;
  };
  // a finger that lifts has not left: what it touched stays until another place is touched
  const onLeave = (element, leave) => {
    element.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch") leave(); });
    element.addEventListener("blur", leave);
    document.addEventListener("pointerdown", (event) => { if (!element.contains(event.target)) leave(); });
    addEventListener("scroll", leave, { passive: true });
  };
  const onPoint = (element, find) => {
    element.addEventListener("pointermove", find);
    element.addEventListener("pointerdown", find);
  };
  const step = (key, now, many) =>
    ({ ArrowRight: now + 1, ArrowLeft: now < 0 ? many - 1 : now - 1, Home: 0, End: many - 1 })[key];

  // -- line charts: a line follows the pointer, or the arrow keys
  const lineCharts = (show) => {
    for (const chart of all(".chart[data-hover]")) {
      const stops = JSON.parse(chart.dataset.hover);
      const plot = chart.querySelector(".plot");
      if (!stops.length || !plot) continue;
      const line = plot.appendChild(make("div", { className: "cursor", hidden: true }));
      let now = -1;
      const go = (index, aloud) => {
        now = Math.max(0, Math.min(stops.length - 1, index));
        const [place, lines] = stops[now];
        const box = plot.getBoundingClientRect();
        line.style.left = `${place}%`;
        line.hidden = false;
        show.say(lines, box.left + (box.width * place) / 100, box.top + 40, aloud);
      };
      const leave = () => {
        if (line.hidden) return;
        line.hidden = true;
        show.hush();
      };
      onPoint(chart, (event) => {
        const box = plot.getBoundingClientRect();
        const at = (100 * (event.clientX - box.left)) / box.width;
        let nearest = 0;
        stops.forEach(([place], index) => {
          if (Math.abs(place - at) < Math.abs(stops[nearest][0] - at)) nearest = index;
        });
        go(nearest, false);
      });
      onLeave(chart, leave);
      chart.addEventListener("keydown", (event) => {
        if (event.key === "Escape") leave();
        const next = step(event.key, now, stops.length);
        if (next === undefined) return;
        event.preventDefault();
        go(next, true);
      });
    }
  };

  // -- drawings: their marks say what they are, the nearest one to a finger too
  const REACH = 24;
  const drawings = (show) => {
    for (const drawing of all("svg:not(.heat-map)")) {
      const marks = all("[data-x], [data-y], [data-label]", drawing);
      if (!marks.length) continue;
      const lines = new Map(marks.map((mark) => {
        const title = mark.querySelector(":scope > title");
        const { label, x, y } = mark.dataset;
        const numbers = [x, y].filter((value) => value !== undefined).join(": ");
        const said = title ? title.textContent.split("\n") : [label, numbers].filter(Boolean);
        title?.remove(); // or the browser would say it a second time
        return [mark, said];
      }));
      const place = (mark) => {
        const box = mark.getBoundingClientRect();
        return [box.left + box.width / 2, box.top + box.height / 2];
      };
      let now = null;
      const go = (mark, aloud) => {
        now?.classList.remove("pointed");
        now = mark;
        if (!mark) return show.hush();
        mark.classList.add("pointed");
        const [x] = place(mark);
        show.say(lines.get(mark), x, mark.getBoundingClientRect().top, aloud);
      };
      onPoint(drawing, (event) => {
        const direct = event.target.closest("[data-x], [data-y], [data-label]");
        if (direct) return go(direct, false);
        let [nearest, least] = [null, REACH];
        for (const mark of marks) {
          const [x, y] = place(mark);
          const far = Math.hypot(x - event.clientX, y - event.clientY);
          if (far < least) [nearest, least] = [mark, far];
        }
        if (nearest !== now) go(nearest, false);
      });
      onLeave(drawing, () => { if (now) go(null); });
      if (marks.length < 2) continue;
      if (!drawing.hasAttribute("tabindex")) drawing.setAttribute("tabindex", "0");
      drawing.addEventListener("keydown", (event) => {
        if (event.key === "Escape") return go(null);
        const next = step(event.key, now ? marks.indexOf(now) : -1, marks.length);
        if (next === undefined) return;
        event.preventDefault();
        go(marks[Math.max(0, Math.min(marks.length - 1, next))], true);
      });
    }
  };

  // -- the confusion table: what a cell holds; a click picks out such mistakes
  const heatMaps = (show, pick) => {
    for (const map of all(".heat-map[data-counts]")) {
      const labels = JSON.parse(map.dataset.labels);
      const counts = JSON.parse(map.dataset.counts);
      const cell = Number(map.dataset.cell);
      const cursor = map.querySelector(".cursor");
      const find = (event) => {
        const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
        const [i, j] = [Math.floor(point.y / cell), Math.floor(point.x / cell)];
        return i >= 0 && j >= 0 && i < labels.length && j < labels.length ? [i, j] : null;
      };
      const leave = () => {
        if (cursor.getAttribute("visibility") === "hidden") return;
        cursor.setAttribute("visibility", "hidden");
        show.hush();
      };
      onPoint(map, (event) => {
        const place = find(event);
        if (!place) return leave();
        const [i, j] = place;
        const total = counts[i].reduce((sum, many) => sum + many, 0);
        cursor.setAttribute("x", j * cell);
        cursor.setAttribute("y", i * cell);
        cursor.setAttribute("visibility", "visible");
        const share = total ? ` (${((100 * counts[i][j]) / total).toFixed(1)}%)` : "";
        show.say([`${counts[i][j]} of ${total}${share}`, `true: ${labels[i]}`, `answered: ${labels[j]}`], event.clientX, event.clientY);
      });
      onLeave(map, leave);
      map.addEventListener("click", (event) => {
        const place = find(event);
        if (place && place[0] !== place[1] && counts[place[0]][place[1]]) pick(labels[place[0]], labels[place[1]]);
      });
    }
  };

  // -- tables: a heading sorts
  const asNumber = (text) => {
    const plain = text.replace(/[\s,\u00a0\u202f%]/g, "").replace("−", "-");
    return plain === "" ? NaN : Number(plain);
  };
  const unknown = (text) => text === "" || text === "–" || text === "—";
  const sorting = () => {
    for (const table of all("table.sortable")) {
      const headings = [...(table.tHead?.rows[0]?.cells ?? [])];
      const body = table.tBodies[0];
      if (!body || body.rows.length < 2) continue;
      headings.forEach((heading, column) => {
        if ("plain" in heading.dataset || !heading.textContent.trim()) return;
        let button = heading.querySelector("button");
        if (!button) {
          button = make("button", { type: "button" }, ...heading.childNodes);
          heading.replaceChildren(button);
        }
        button.addEventListener("click", () => {
          const up = heading.getAttribute("aria-sort") !== "ascending";
          for (const other of headings) other.removeAttribute("aria-sort");
          heading.setAttribute("aria-sort", up ? "ascending" : "descending");
          const key = (row) => {
            const { value, sort } = row.cells[column]?.dataset ?? {};
            return value ?? sort ?? row.cells[column]?.textContent.trim() ?? "";
          };
          const rows = [...body.rows].map((row) => ({ row, text: key(row), number: asNumber(key(row)) }));
          const numbers = rows.every(({ text, number }) => unknown(text) || !Number.isNaN(number));
          const compare = (a, b) =>
            numbers ? a.number - b.number : a.text.localeCompare(b.text, undefined, { numeric: true });
          // what is not known stays at the end, whichever way the table is sorted
          rows.sort((a, b) => unknown(a.text) - unknown(b.text) || (unknown(a.text) ? 0 : up ? compare(a, b) : compare(b, a)));
          body.append(...rows.map(({ row }) => row));
        });
      });
    }
  };

  // -- mistakes and suspects: by split, by true label, by answer, by words
  const FEW = 5; // rows that are seen at a glance need no form
  const list = (text) => {
    if (!text) return [];
    if (!text.startsWith("[")) return [text];
    try {
      const parsed = JSON.parse(text);
      return Array.isArray(parsed) ? parsed.map(String) : [text];
    } catch (error) {
      if (error instanceof SyntaxError) return [text]; // a label that only looks like a list
      throw error;
    }
  };
  const rowsOf = (scope) =>
    all("[data-true], [data-answered], [data-answers], [data-text], [data-searched]", scope)
      .filter((row) => row.tagName !== "A" && !row.closest("form"))
      .map((row) => ({
        row,
        true: list(row.dataset.true),
        answer: list(row.dataset.answered ?? row.dataset.answers),
        part: row.closest("[data-part]")?.dataset.part ?? "",
        words: `${row.dataset.searched ?? row.dataset.text ?? ""} ${row.textContent}`.toLowerCase(),
      }));
  const choice = (name, label, rows) => {
    const names = [...new Set(rows.flatMap((row) => row[name]))].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
    if (names.length < 2) return [];
    const options = [new Option("any", ""), ...names.map((text) => new Option(text, text))];
    return [make("label", {}, `${label} `, make("select", { name }, ...options))];
  };
  const filters = () => {
    const picks = [];
    const forms = new Set(all("form.filter"));
    for (const section of all("main section")) {
      if (section.querySelector("form.filter, section")) continue;
      const rows = rowsOf(section);
      if (rows.length <= FEW) continue;
      const [one, other] = all("dt", rows[0].row).map((term) => term.textContent.replace(/^./, (letter) => letter.toUpperCase()));
      const form = make("form", { className: "filter" }, ...choice("true", one ?? "True", rows), ...choice("answer", other ?? "Answered", rows));
      form.setAttribute("role", "search");
      form.setAttribute("aria-label", section.querySelector("h2")?.textContent ?? "Rows");
      const first = rows[0].row.closest(".part, .cards, .scroll, table, ol, ul") ?? rows[0].row;
      first.before(form);
      forms.add(form);
    }
    for (const form of forms) {
      const scope = form.closest("[data-filter], section") ?? form.parentElement;
      const rows = rowsOf(scope);
      if (!rows.length) continue;
      const fields = form.elements;
      let output = form.querySelector("output");
      if (rows.length > FEW && !fields.text) {
        const input = make("input", { type: "search", name: "text", autocomplete: "off", placeholder: "any words" });
        const label = make("label", {}, "Find ", input);
        if (output) output.before(label); else form.append(label);
      }
      if (!output) output = form.appendChild(make("output"));
      output.setAttribute("aria-live", "polite");
      const clear = make("button", { type: "button", textContent: "Clear", hidden: true });
      output.before(clear);
      const nothing = scope.querySelector(".none-left") ?? make("p", { className: "none-left soft", textContent: "None fits." });
      if (!nothing.isConnected) form.after(nothing);
      const apply = () => {
        const words = (fields.text?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
        const [part, label, answer] = [fields.part, fields.true, fields.answer ?? fields.answered].map((field) => field?.value ?? "");
        const chosen = Boolean(label || answer || words.length);
        let shown = 0;
        for (const row of rows) {
          const fits = (part === "" || row.part === part) && (label === "" || row.true.includes(label))
            && (answer === "" || row.answer.includes(answer)) && words.every((word) => row.words.includes(word));
          row.row.hidden = !fits;
          shown += fits;
          const folded = fits && chosen && row.row.closest("details:not([open])");
          if (folded) folded.open = true; // what was found is seen
        }
        for (const group of all("[data-part]", scope)) {
          group.hidden = !rows.some(({ row }) => group.contains(row) && !row.hidden);
        }
        output.textContent = shown === rows.length ? `${shown} shown` : `${shown} of ${rows.length} shown`;
        nothing.hidden = shown > 0;
        clear.hidden = !chosen;
      };
      const set = (field, value) => {
        if (field) field.value = field.options && ![...field.options].some((option) => option.value === value) ? "" : value;
      };
      clear.addEventListener("click", () => {
        for (const field of [fields.true, fields.answer ?? fields.answered, fields.text]) set(field, "");
        apply();
        output.scrollIntoView({ block: "nearest" });
      });
      form.addEventListener("input", apply);
      form.addEventListener("change", apply);
      form.addEventListener("submit", (event) => event.preventDefault());
      form.hidden = false;
      apply();
      picks.push({ scope, pick: (label, answer) => {
        for (const [field, value] of [[fields.part, ""], [fields.true, label], [fields.answer ?? fields.answered, answer], [fields.text, ""]]) set(field, value);
        apply();
        scope.scrollIntoView();
      } });
    }
    const pick = (label, answer) => (picks.find(({ scope }) => scope.id === "mistakes") ?? picks[0])?.pick(label, answer);
    for (const link of all("a[data-true]")) {
      link.addEventListener("click", (event) => {
        if (!picks.length) return;
        event.preventDefault();
        pick(link.dataset.true, link.dataset.answer ?? link.dataset.answered ?? "");
      });
    }
    return pick;
  };

  // -- commands and the spec can be copied
  const copying = (spoken) => {
    for (const place of all("pre, .commands dd, [data-copy]")) {
      const source = place.querySelector("code") ?? place;
      const text = place.dataset.copy || source.textContent;
      const button = make("button", { type: "button", className: "copy", textContent: "Copy" });
      button.setAttribute("aria-label", place.matches("pre") ? "Copy this text" : `Copy: ${text.slice(0, 80)}`);
      let box = place;
      if (place.matches("pre")) { // a button inside would scroll away with the text
        box = make("div");
        place.replaceWith(box);
        box.append(place);
      }
      box.classList.add("copyable");
      box.append(button);
      button.addEventListener("click", async () => {
        const done = await toClipboard(text, source);
        button.textContent = done ? "Copied" : "Selected";
        spoken.textContent = done ? "Copied" : "Selected; copy it with your keyboard";
        setTimeout(() => { button.textContent = "Copy"; }, 1600);
      });
    }
  };
  // where the clipboard may not be written, the text is left selected
  const toClipboard = async (text, source) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch (error) {
      if (!(error instanceof DOMException || error instanceof TypeError)) throw error;
    }
    getSelection().selectAllChildren(source);
    return document.execCommand("copy");
  };

  // -- paper: nothing stays folded away
  const printing = () => {
    let opened = [];
    addEventListener("beforeprint", () => {
      opened = all("details:not([open])");
      for (const details of opened) details.open = true;
    });
    addEventListener("afterprint", () => {
      for (const details of opened) details.open = false;
      opened = [];
    });
  };

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
