// Keeps the page as the runs are: asks every few seconds what is new, and changes only what has changed.
"use strict";
(() => {
  const MOST = 8; // as many runs side by side as there are colours
  const $ = (id) => document.getElementById(id);
  const tools = $("tools").elements, axes = $("axes").elements;
  const body = document.querySelector("#table tbody");
  const state = { runs: [], metrics: {}, chosen: [], sort: "started", down: true, curves: new Map(), rows: new Map(), statuses: new Map(), first: true };

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const draw = (tag, attributes = {}) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };

  // -- words
  const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
  const duration = (seconds) => {
    if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
    if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
    if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
    return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
  };
  const ago = (seconds) => (seconds < 10 ? "just now" : `${duration(Math.floor(seconds)).split(" ").slice(0, 2).join(" ")} ago`);
  const large = (value) => {
    if (value === null) return "–";
    for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
      if (value >= size) return `${(value / size).toPrecision(3)} ${letter}`;
    }
    return String(value);
  };
  const plain = (value) => {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    return size !== 0 && (size < 0.001 || size >= 1e5) ? value.toExponential(2) : value.toFixed(size >= 100 ? 1 : 4);
  };
  const measure = (metric, value) => {
    if (value === null || value === undefined) return "–";
    return state.metrics[metric]?.share ? `${(100 * value).toFixed(2)}%` : plain(value);
  };
  const title = (metric) => state.metrics[metric]?.title ?? metric;
  const hue = (id) => `var(--run-${state.chosen.find((one) => one.id === id)?.color ?? 0})`;
  const isChosen = (id) => state.chosen.some((one) => one.id === id);

  // -- what a run's line says
  const WORDS = { train: "training", validation: "validation" };
  const PHASES = { started: "starting", preparing: "preparing the data", prepared: "data ready", finding_rate: "learning-rate test", evaluating: "evaluating", evaluated: "writing the bundle", fold: "cross-validation", learning_curve: "learning curve" };
  const result = (run, metric) => {
    if (run.metrics[metric] !== undefined && run.metrics[metric] !== null) return { value: run.metrics[metric], from: run.split || "measured" };
    const latest = run.latest[metric];
    return latest === undefined || latest === null ? { value: null, from: "" } : { value: latest, from: `epoch ${run.epoch}` };
  };
  const elapsed = (run) => {
    if (run.status !== "running") return run.seconds;
    const start = Date.parse(run.started);
    return Number.isNaN(start) ? null : Math.max(0, (Date.now() - start) / 1000);
  };
  const sortKey = {
    name: (run) => run.id.toLowerCase(),
    status: (run) => run.status,
    started: (run) => run.started,
    seconds: elapsed,
    metric: (run) => result(run, tools.metric.value).value,
    family: (run) => run.family,
    parameters: (run) => run.parameters,
  };

  // -- the table
  const fresh = (run) => {
    const box = make("input", { type: "checkbox" });
    box.setAttribute("aria-label", `Show the curves of ${run.id}`);
    box.addEventListener("change", () => choose(run.id, box.checked));
    const cell = (name) => make("td", { className: name });
    const row = {
      box, tr: make("tr"), name: make("span"), id: make("small"), message: make("small", { className: "message" }),
      status: make("span"), progress: make("progress"), note: make("small"), started: make("span"), seconds: cell("number seconds"),
      spark: draw("svg", { class: "spark", width: "88", height: "26", viewBox: "0 0 88 26", "aria-hidden": "true" }), line: draw("path"),
      value: make("span"), from: make("small"), family: cell("family"), parameters: cell("number parameters"), files: make("span", { className: "files" }), listed: "",
    };
    row.spark.append(row.line);
    const head = make("th", { className: "run", scope: "row" }, row.name, row.id, row.files, row.message);
    row.tr.append(
      make("td", { className: "choose" }, make("label", {}, box)), head,
      make("td", { className: "state" }, row.status, row.progress, row.note), make("td", { className: "started" }, row.started), row.seconds,
      make("td", { className: "spark-cell" }, row.spark), make("td", { className: "number metric" }, row.value, row.from),
      row.family, row.parameters,
    );
    // The whole line can be clicked, except where something of its own is, or where text is being marked.
    row.tr.addEventListener("click", (event) => {
      if (event.target.closest("a, input, label, button") || String(getSelection())) return;
      choose(run.id, !isChosen(run.id));
    });
    return row;
  };

  const spark = (line, values) => {
    const known = values.filter((value) => value !== null);
    if (known.length < 2) return line.setAttribute("d", "");
    const [low, high] = [Math.min(...known), Math.max(...known)];
    let path = "", pen = "M";
    values.forEach((value, place) => {
      if (value === null) { pen = "M"; return; }
      path += `${pen}${((86 * place) / (values.length - 1) + 1).toFixed(1)} ${(high === low ? 13 : 24 - (22 * (value - low)) / (high - low)).toFixed(1)}`;
      pen = "L";
    });
    line.setAttribute("d", path);
  };

  const fill = (row, run) => {
    write(row.name, run.name);
    // A folder is called NAME-DATE-TIME: what the name says already is not said again.
    write(row.id, run.id === run.name ? "" : run.id.startsWith(`${run.name}-`) ? run.id.slice(run.name.length + 1) : run.id);
    const lost = run.unreadable ? `${plural(run.unreadable, "line")} of events.jsonl cannot be read` : "";
    const message = [run.message, lost].filter(Boolean).join("; ");
    write(row.message, message);
    row.message.title = message;
    row.message.hidden = !message;
    write(row.status, run.status);
    row.status.className = `status ${run.status}`;
    const running = run.status === "running";
    row.progress.hidden = !running || !run.epochs;
    if (!row.progress.hidden) {
      row.progress.max = run.epochs;
      row.progress.value = Math.min(run.epoch, run.epochs);
      row.progress.setAttribute("aria-label", "epochs done");
    }
    const silent = running && run.last ? Date.now() / 1000 - run.last : 0;
    const epochs = !run.epochs && !run.epoch ? "" : running ? `epoch ${run.epoch}${run.epochs ? ` of ${run.epochs}` : ""}`
      : !run.epochs || run.epoch === run.epochs ? plural(run.epoch, "epoch") : `${run.epoch} of ${plural(run.epochs, "epoch")}`;
    const doing = !running ? epochs : run.phase === "training" ? epochs || "training" : PHASES[run.phase] ?? run.phase.replaceAll("_", " ");
    write(row.note, [doing, silent > 300 ? `last heard of ${ago(silent)}` : ""].filter(Boolean).join(" · "));
    const start = Date.parse(run.started);
    write(row.started, Number.isNaN(start) ? "–" : ago((Date.now() - start) / 1000));
    row.started.title = Number.isNaN(start) ? "" : new Date(start).toLocaleString();
    write(row.seconds, duration(elapsed(run)));
    spark(row.line, run.spark);
    const { value, from } = result(run, tools.metric.value);
    write(row.value, measure(tools.metric.value, value));
    write(row.from, from);
    write(row.family, run.family || "–");
    write(row.parameters, large(run.parameters));
    if (row.listed !== run.files.join()) {
      row.listed = run.files.join();
      row.files.replaceChildren(...run.files.map((file) => make("a", { href: `run/${encodeURIComponent(run.id)}/${file}`, target: "_blank", rel: "noopener", textContent: { "report.html": "report", "card.md": "card", "spec.yaml": "spec" }[file] ?? file })));
    }
    const chosen = isChosen(run.id);
    row.box.checked = chosen;
    row.tr.classList.toggle("chosen", chosen);
    chosen ? row.tr.style.setProperty("--hue", hue(run.id)) : row.tr.style.removeProperty("--hue");
  };

  const showTable = () => {
    const words = tools.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (run) => (!tools.status.value || run.status === tools.status.value)
      && words.every((word) => `${run.id} ${run.name} ${run.family} ${run.device} ${run.message}`.toLowerCase().includes(word));
    const key = sortKey[state.sort];
    const wanted = state.runs.filter(fits).map((run) => [key(run), run]).sort(([a, one], [b, other]) => {
      const [unknownA, unknownB] = [a, b].map((value) => value === null || value === undefined || value === "");
      if (unknownA || unknownB) return unknownA - unknownB || other.id.localeCompare(one.id);
      const order = typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
      return (state.down ? -order : order) || other.id.localeCompare(one.id);
    }).map(([, run]) => run);
    const present = new Set(state.runs.map((run) => run.id));
    for (const [id, row] of state.rows) if (!present.has(id)) { row.tr.remove(); state.rows.delete(id); }
    wanted.forEach((run, place) => {
      if (!state.rows.has(run.id)) state.rows.set(run.id, fresh(run));
      const row = state.rows.get(run.id);
      fill(row, run);
      if (body.children[place] !== row.tr) body.insertBefore(row.tr, body.children[place] ?? null);
    });
    while (body.children.length > wanted.length) body.lastElementChild.remove();
    for (const heading of document.querySelectorAll("#table th[data-key]")) {
      if (heading.dataset.key === state.sort) heading.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else heading.removeAttribute("aria-sort");
    }
    const none = $("none");
    none.hidden = wanted.length > 0;
    write(none, state.runs.length ? "No run fits what is asked for above." : "No runs here yet; one appears as soon as its training starts: modelyard train SPEC");
    const running = state.runs.filter((run) => run.status === "running").length;
    const shown = wanted.length === state.runs.length ? plural(state.runs.length, "run") : `${wanted.length} of ${plural(state.runs.length, "run")}`;
    $("count").replaceChildren(make("b", { textContent: shown }), running ? `, ${running} training now` : ", none training now");
    document.title = running ? `● ${running} training · modelyard board` : "modelyard board";
  };

  const showMetrics = () => {
    const counts = new Map();
    for (const run of state.runs) for (const name of new Set([...Object.keys(run.metrics), ...Object.keys(run.latest)])) counts.set(name, (counts.get(name) ?? 0) + 1);
    const names = [...counts.keys()].filter((name) => name !== "loss");
    names.push(...(counts.has("loss") ? ["loss"] : []));
    const select = tools.metric;
    if ([...select.options].map((option) => option.value).join() === names.join()) return;
    const before = select.value || wish.get("measure");
    select.replaceChildren(...names.map((name) => make("option", { value: name, textContent: title(name) })));
    // Unsaid: what most runs have; of equals the one that stands first, which is a task's own first measure.
    const usual = names.reduce((best, name) => (name !== "loss" && (counts.get(name) ?? 0) > (counts.get(best) ?? 0) ? name : best), names[0]);
    select.value = names.includes(before) ? before : usual ?? "";
    nameMeasure();
  };
  const nameMeasure = () => {
    const button = document.querySelector("#measure button");
    write(button, tools.metric.value ? title(tools.metric.value) : "Measure");
  };

  // -- choosing
  const choose = (id, on) => {
    state.chosen = state.chosen.filter((one) => one.id !== id);
    if (on) {
      if (state.chosen.length >= MOST) {
        const left = state.chosen.shift();
        say(`At most ${MOST} runs are shown; ${left.id} makes room`);
      }
      const taken = new Set(state.chosen.map((one) => one.color));
      state.chosen.push({ id, color: [...Array(MOST).keys()].find((color) => !taken.has(color)) });
    }
    remember();
    showTable();
    showPanel();
    fetchCurves().then(showCharts, () => {});
    showDifferences();
  };
  const say = (text) => { $("news").textContent = text; };

  const wish = new URLSearchParams(location.hash.slice(1));
  const remember = () => {
    const now = new URLSearchParams();
    for (const one of state.chosen) now.append("run", one.id);
    if (tools.metric.value) now.set("measure", tools.metric.value);
    if (axes.along.value !== "epoch") now.set("along", axes.along.value);
    if (axes.log.checked) now.set("log", "1");
    history.replaceState(null, "", `#${now}`);
  };

  // -- curves
  const fetchCurves = async () => {
    for (const id of state.curves.keys()) if (!isChosen(id)) state.curves.delete(id);
    if (!state.chosen.length) return false;
    const query = new URLSearchParams();
    for (const { id } of state.chosen) {
      const known = state.curves.get(id);
      query.append("run", id);
      query.append("known", known ? `${known.generation}:${known.epochs}` : "-:0");
    }
    const { runs } = await ask(`api/curves?${query}`);
    let changed = false;
    for (const [id, news] of Object.entries(runs)) {
      const known = state.curves.get(id);
      if (!known || known.generation !== news.generation || news.from === 0) {
        changed ||= !known || known.epochs !== news.epochs || known.generation !== news.generation;
        state.curves.set(id, { generation: news.generation, epochs: news.epochs, columns: news.columns });
        continue;
      }
      if (news.from !== known.epochs || news.epochs === known.epochs) continue;
      for (const [name, values] of Object.entries(news.columns)) {
        const column = (known.columns[name] ??= Array(known.epochs).fill(null));
        column.push(...values);
      }
      known.epochs = news.epochs;
      changed = true;
    }
    return changed;
  };

  const showPanel = () => {
    const runs = state.chosen.filter((one) => state.rows.has(one.id) || state.runs.some((run) => run.id === one.id));
    $("invite").hidden = runs.length > 0;
    const key = make("li", { className: "soft" }, make("span", { className: "line" }), "validation", make("span", { className: "line dashed" }), "training");
    const items = runs.map(({ id, color }) => {
      const remove = make("button", { type: "button", textContent: "×", title: "Leave out" });
      remove.setAttribute("aria-label", `Leave out ${id}`);
      remove.addEventListener("click", () => choose(id, false));
      const item = make("li", {}, make("span", { className: "swatch" }), make("span", { className: "name", textContent: id, title: id }), remove);
      item.style.setProperty("--hue", `var(--run-${color})`);
      return item;
    });
    $("legend").replaceChildren(...items, ...(runs.length ? [key] : []));
  };

  const ticks = (low, high, count) => {
    const rough = (high - low) / count, size = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((factor) => factor * size).find((one) => one >= rough * 0.999);
    const found = [];
    for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step) found.push(Math.abs(value) < step * 1e-9 ? 0 : value);
    return found;
  };
  const decades = (low, high) => {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
      for (const factor of high / low > 100 ? [1] : [1, 2, 5]) found.push(factor * 10 ** power);
    }
    return found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
  };
  const short = (value) => (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 1e5) ? value.toExponential(0) : String(Number(value.toPrecision(4))));

  const chartOf = (metric) => {
    const along = axes.along.value, logarithmic = metric === "loss" && axes.log.checked;
    const curves = [];
    for (const { id, color } of state.chosen) {
      const columns = state.curves.get(id)?.columns ?? {};
      for (const split of ["train", "validation"]) {
        const ys = columns[`${split}/${metric}`], xs = columns[along];
        if (!ys || !xs) continue;
        const points = ys.map((y, place) => [xs[place], y]).filter(([x, y]) => x !== null && y !== null && (!logarithmic || y > 0));
        if (points.length) curves.push({ id, color, split, points });
      }
    }
    return { metric, along, logarithmic, curves };
  };

  const showChart = ({ metric, along, logarithmic, curves }, figure) => {
    const svg = figure.querySelector("svg");
    const width = Math.max(240, svg.clientWidth), height = 230, left = 54, right = 10, top = 8, bottom = 26;
    const xs = curves.flatMap((curve) => curve.points.map(([x]) => x)), ys = curves.flatMap((curve) => curve.points.map(([, y]) => y));
    const least = (values) => values.reduce((a, b) => Math.min(a, b)), most = (values) => values.reduce((a, b) => Math.max(a, b));
    let [x0, x1, y0, y1] = [along === "epoch" ? Math.min(1, least(xs)) : 0, most(xs), least(ys), most(ys)];
    if (x1 === x0) x1 = x0 + 1;
    if (y1 === y0) { const room = Math.abs(y0) * 0.05 || 0.05; y1 += room; if (logarithmic) y0 /= 1.05; else y0 -= room; }
    else if (!logarithmic) { const room = (y1 - y0) * 0.04; y1 += room; y0 = y0 >= 0 && y0 < room ? 0 : y0 - room; }
    const scale = logarithmic ? Math.log10 : (value) => value;
    const px = (x) => left + ((width - left - right) * (x - x0)) / (x1 - x0);
    const py = (y) => height - bottom - ((height - top - bottom) * (scale(y) - scale(y0))) / (scale(y1) - scale(y0));
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const pieces = [];
    for (const value of logarithmic ? decades(y0, y1) : ticks(y0, y1, 4)) {
      pieces.push(draw("line", { class: "grid", x1: left, x2: width - right, y1: py(value), y2: py(value) }));
      const label = draw("text", { x: left - 8, y: py(value) + 4, "text-anchor": "end" });
      label.textContent = state.metrics[metric]?.share ? `${short(100 * value)}%` : short(value);
      pieces.push(label);
    }
    const whole = along === "epoch";
    for (const value of ticks(x0, x1, Math.max(2, Math.floor(width / 110)))) {
      if (whole && !Number.isInteger(value)) continue;
      const label = draw("text", { x: px(value), y: height - 8, "text-anchor": px(value) > width - 36 ? "end" : "middle" });
      label.textContent = whole ? String(value) : duration(value).replace(/\.0 s$/, " s");
      pieces.push(draw("line", { class: "axis", x1: px(value), x2: px(value), y1: height - bottom, y2: height - bottom + 4 }), label);
    }
    pieces.push(draw("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }));
    for (const curve of curves) {
      const hueOf = `var(--run-${curve.color})`;
      const path = draw("path", { class: `curve ${curve.split}`, d: thin(curve.points, width).map(([x, y], place) => `${place ? "L" : "M"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join("") });
      path.style.setProperty("--hue", hueOf);
      pieces.push(path);
      const [x, y] = curve.points.at(-1);
      if (curve.split === "validation" || curve.points.length === 1) {
        const dot = draw("circle", { class: "point", cx: px(x), cy: py(y), r: 3 });
        dot.style.setProperty("--hue", hueOf);
        pieces.push(dot);
      }
    }
    const pointer = draw("line", { class: "pointer", y1: top, y2: height - bottom, visibility: "hidden" });
    svg.replaceChildren(...pieces, pointer);
    const last = curves.map((curve) => `${curve.id}, ${WORDS[curve.split]}: ${measure(metric, curve.points.at(-1)[1])}`);
    svg.setAttribute("aria-label", `${title(metric)} along ${along === "epoch" ? "epochs" : "time"}, last values. ${last.join("; ")}. Arrow keys read the values.`);
    figure.hover = { stops: [...new Set(xs)].sort((a, b) => a - b), px, pointer, curves, metric, along, width };
  };

  // A curve of more points than pixels keeps the lowest and highest of each pixel, so that no spike is lost.
  const thin = (points, width) => {
    if (points.length <= 2 * width) return points;
    const size = Math.ceil(points.length / width), kept = [];
    for (let place = 0; place < points.length; place += size) {
      const part = points.slice(place, place + size);
      const low = part.reduce((a, b) => (b[1] < a[1] ? b : a)), high = part.reduce((a, b) => (b[1] > a[1] ? b : a));
      kept.push(...(low === high ? [low] : low[0] < high[0] ? [low, high] : [high, low]));
    }
    return kept;
  };

  const tip = $("tip");
  const near = (points, x) => {
    let [a, b] = [0, points.length - 1];
    while (b - a > 1) { const middle = (a + b) >> 1; points[middle][0] < x ? (a = middle) : (b = middle); }
    return Math.abs(points[a][0] - x) <= Math.abs(points[b][0] - x) ? points[a] : points[b];
  };
  const point = (figure, x, clientX, clientY) => {
    const { px, pointer, curves, metric, along } = figure.hover;
    pointer.setAttribute("x1", px(x));
    pointer.setAttribute("x2", px(x));
    pointer.setAttribute("visibility", "visible");
    const lines = curves.filter((curve) => along !== "epoch" || (x >= curve.points[0][0] && x <= curve.points.at(-1)[0])).map((curve) => {
      const swatch = make("span", { className: "swatch" });
      swatch.style.setProperty("--hue", `var(--run-${curve.color})`);
      return make("div", {}, swatch, make("span", { className: "name", textContent: curve.id }), make("span", { className: "soft", textContent: WORDS[curve.split] }), make("b", { textContent: measure(metric, near(curve.points, x)[1]) }));
    });
    const where = along === "epoch" ? `epoch ${x}` : duration(x);
    tip.replaceChildren(make("div", { className: "soft", textContent: where }), ...lines);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, clientX + 16 + box.width > innerWidth ? clientX - box.width - 16 : clientX + 16)}px`;
    tip.style.top = `${Math.max(4, Math.min(innerHeight - box.height - 4, clientY - box.height / 2))}px`;
    return `${where}. ${lines.map((line) => [...line.children].slice(1).map((part) => part.textContent).join(" ")).join("; ")}`;
  };
  const leave = (figure) => { tip.hidden = true; figure.hover?.pointer.setAttribute("visibility", "hidden"); };

  const figureOf = (metric) => {
    const svg = draw("svg", { class: "chart", role: "img", tabindex: "0" });
    const figure = make("figure", {}, make("figcaption"), svg);
    figure.dataset.metric = metric;
    svg.addEventListener("pointermove", (event) => {
      const { stops, px, width } = figure.hover, box = svg.getBoundingClientRect();
      const at = ((event.clientX - box.left) * width) / box.width;
      point(figure, stops.reduce((a, b) => (Math.abs(px(b) - at) < Math.abs(px(a) - at) ? b : a)), event.clientX, event.clientY);
    });
    svg.addEventListener("pointerleave", () => leave(figure));
    svg.addEventListener("blur", () => leave(figure));
    svg.addEventListener("keydown", (event) => {
      const { stops, px, width } = figure.hover;
      const now = figure.place ?? stops.length;
      const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: stops.length - 1 }[event.key];
      if (event.key === "Escape") leave(figure);
      if (to === undefined) return;
      event.preventDefault();
      figure.place = Math.max(0, Math.min(stops.length - 1, to));
      const box = svg.getBoundingClientRect();
      say(point(figure, stops[figure.place], box.left + (px(stops[figure.place]) * box.width) / width, box.top + box.height / 2));
    });
    return figure;
  };

  const showCharts = () => {
    const metric = tools.metric.value;
    const wanted = ["loss", ...(metric && metric !== "loss" ? [metric] : [])].map(chartOf).filter((chart) => chart.curves.length);
    const place = $("charts");
    for (const figure of [...place.children]) if (!wanted.some((chart) => chart.metric === figure.dataset.metric)) figure.remove();
    for (const chart of wanted) {
      let figure = [...place.children].find((one) => one.dataset.metric === chart.metric);
      if (!figure) {
        figure = figureOf(chart.metric);
        chart.metric === "loss" ? place.prepend(figure) : place.append(figure);
      }
      write(figure.querySelector("figcaption"), title(chart.metric));
      showChart(chart, figure);
    }
    const waiting = state.chosen.length > 0 && !wanted.length;
    if (waiting) { $("invite").hidden = false; write($("invite"), "No epoch has been finished yet."); }
    else write($("invite"), "Choose runs in the table to see their curves, side by side.");
    if (!waiting) $("invite").hidden = state.chosen.length > 0;
  };

  // -- settings that differ
  let asked = 0;
  const showDifferences = async () => {
    const number = (asked += 1);
    const place = $("differences");
    if (state.chosen.length < 2) { place.hidden = true; return; }
    const query = new URLSearchParams(state.chosen.map((one) => ["run", one.id]));
    const found = await ask(`api/differences?${query}`).catch(() => null);
    if (!found || number !== asked) return;
    const settings = Object.entries(found.settings);
    const word = (value) => (value === null ? "–" : typeof value === "string" ? value : JSON.stringify(value));
    place.querySelector("thead").replaceChildren(make("tr", {}, make("th", { scope: "col", textContent: "Setting" }), ...found.runs.map((id) => {
      const swatch = make("span", { className: "swatch" });
      swatch.style.setProperty("--hue", hue(id));
      return make("th", { scope: "col" }, swatch, id);
    })));
    place.querySelector("tbody").replaceChildren(...settings.map(([name, values]) => make("tr", {}, make("th", { scope: "row", textContent: name }), ...values.map((value) => make("td", { textContent: word(value) })))));
    const left = $("left-out");
    const said = [found.left_out.length ? `Without a readable spec (yet): ${found.left_out.join(", ")}.` : "", settings.length || found.runs.length < 2 ? "" : "All settings are the same."].filter(Boolean).join(" ");
    left.hidden = !said;
    write(left, said);
    place.querySelector("table").hidden = !settings.length;
    place.hidden = false;
  };

  // -- keeping up
  const tags = new Map();
  const ask = async (address) => {
    const response = await fetch(address, { headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error(`${response.status}`);
    const tag = response.headers.get("ETag");
    if (tags.get(address)?.tag === tag) return tags.get(address).value;
    const value = await response.json();
    if (address === "api/runs") tags.set(address, { tag, value });
    return value;
  };

  const begin = () => {
    const present = new Set(state.runs.map((run) => run.id));
    const wished = wish.getAll("run").filter((id) => present.has(id)).slice(0, MOST);
    const running = state.runs.filter((run) => run.status === "running").slice(0, 4).map((run) => run.id);
    const newest = state.runs.filter((run) => run.epoch).slice(0, 2).map((run) => run.id);
    state.chosen = (wished.length ? wished : running.length ? running : newest).map((id, color) => ({ id, color }));
  };

  const update = async () => {
    const { folder, runs, metrics } = await ask("api/runs");
    Object.assign(state, { runs, metrics });
    write($("title"), folder.split("/").filter(Boolean).at(-1) ?? folder);
    $("title").title = folder;
    showMetrics();
    const before = state.chosen.length;
    if (state.first && runs.length) begin();
    const present = new Set(runs.map((run) => run.id));
    state.chosen = state.chosen.filter((one) => present.has(one.id));
    showTable();
    const changed = await fetchCurves();
    if (state.first || before !== state.chosen.length) { showPanel(); showDifferences(); }
    if (changed || before !== state.chosen.length) showCharts();
    for (const run of runs) {
      const then = state.statuses.get(run.id);
      if (!state.first && then !== run.status) {
        say(`${run.id}: ${then === undefined ? `new, ${run.status}` : run.status}`);
        if (isChosen(run.id)) showDifferences();
      }
      state.statuses.set(run.id, run.status);
    }
    if (runs.length) state.first = false;
  };

  let timer = 0, busy = false;
  const keepUp = async () => {
    clearTimeout(timer);
    if (busy || document.hidden) return;
    busy = true;
    const trouble = $("trouble");
    try {
      await update();
      trouble.hidden = true;
    } catch (error) {
      trouble.hidden = false;
      write(trouble, error instanceof TypeError ? "The board does not answer; what is shown is as it was. It is asked again every few seconds." : `The board answered with an error (${error.message}); it is asked again every few seconds.`);
    } finally {
      busy = false;
      timer = setTimeout(keepUp, state.runs.some((run) => run.status === "running") ? 2000 : 4000);
    }
  };

  for (const heading of document.querySelectorAll("#table th[data-key]")) {
    const button = make("button", { type: "button", textContent: heading.textContent });
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const key = heading.dataset.key;
      state.down = state.sort === key ? !state.down : !["name", "status", "family"].includes(key);
      state.sort = key;
      showTable();
    });
  }
  for (const form of [$("tools"), $("axes")]) form.addEventListener("submit", (event) => event.preventDefault());
  tools.text.addEventListener("input", showTable);
  tools.status.addEventListener("change", showTable);
  tools.metric.addEventListener("change", () => { nameMeasure(); remember(); showTable(); showCharts(); });
  axes.along.value = wish.get("along") === "seconds" ? "seconds" : "epoch";
  axes.log.checked = wish.get("log") === "1";
  for (const control of [axes.along, axes.log]) control.addEventListener("change", () => { remember(); showCharts(); });
  new ResizeObserver(() => { if ($("charts").children.length) showCharts(); }).observe($("charts"));
  document.addEventListener("visibilitychange", keepUp);
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
  keepUp();
})();
