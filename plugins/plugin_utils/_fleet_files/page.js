"use strict";
// Whatever a node has said becomes text, never markup: this file has no way to make an element from a string.
(() => {
  const PAGE = 100;
  const AXIS_DAYS = 400;
  const data = JSON.parse(document.getElementById("data").textContent);
  const STATES = data.states;
  const SAID = {
    clean: "Clean", corrected: "Corrected", needs_a_person: "Needs a person",
    ok: "OK", drifted: "Drifted", unknown: "Unknown", unreachable: "Unreachable", failed: "Failed",
    warning: "Warning", error: "Soon", expired: "Expired", none: "not asked",
  };
  const SIGN = { warning: "warning", error: "failed", expired: "failed", clean: "ok", needs_a_person: "failed" };
  const $ = (id) => document.getElementById(id);

  function el(tag, props = {}, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(props)) {
      if (key === "class") made.className = value;
      else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : String(value));
    }
    made.append(...children.filter((child) => child !== null && child !== ""));
    return made;
  }

  function icon(name) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", "icon");
    svg.setAttribute("aria-hidden", "true");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", "#i-" + (SIGN[name] || name));
    svg.append(use);
    return svg;
  }

  const mark = (state, said) => el("span", { class: "mark " + state }, icon(state), said || SAID[state] || state);
  const list = (items) => (items.length ? el("ul", {}, ...items.map((item) => el("li", {}, item))) : "");
  const when = (iso) => (iso ? iso.replace("T", " ").replace("Z", " UTC") : "");
  const shared = (index) => data.shared[index];

  const nodes = data.nodes.map((row, index) => {
    const [name, cluster, state, why, runtime, more, labels, skew, registries] = row;
    const mine = new Map();
    for (const ref of shared(registries)) {
      const one = shared(ref);
      mine.set(one.registry, one);
    }
    return { index, name, cluster: shared(cluster) || "", state: STATES[state], why: shared(why),
             runtime: shared(runtime), more: shared(more), labels, skew, mine, hay: null };
  });
  const names = data.registries.map((item) => item.registry);
  for (const node of nodes) for (const name of node.mine.keys()) if (!names.includes(name)) names.push(name);

  const runtimeOf = (node) => (node.runtime ? node.runtime.name + " " + node.runtime.version : "");
  const stateFor = (node, registry) => (node.mine.has(registry) ? node.mine.get(registry).state : "none");
  const labelsOf = (node) => node.labels.map(shared);
  const rank = (state) => STATES.indexOf(state);

  function hayOf(node) {
    if (node.hay === null) {
      node.hay = [node.name, node.cluster, node.state, node.why.reason, node.why.message, runtimeOf(node),
                  ...node.more.groups, ...labelsOf(node)].join("\n").toLowerCase();
    }
    return node.hay;
  }

  // ---- the head of the page

  function showHead() {
    const run = data.run;
    const title = (run.playbook || "fleet") + ": " + SAID[data.status].toLowerCase();
    document.title = "Fleet trust, " + title;
    $("status").className = "status mark " + data.status;
    $("status").append(icon(data.status), SAID[data.status]);
    const end = run.complete ? "ended " + when(run.ended) : "did not come to its end";
    $("run").textContent = [run.playbook, run.id, "began " + when(run.started), end].filter(Boolean).join(" \u00b7 ");
    $("warnings").append(...data.warnings.map((said) => el("li", {}, said)));
  }

  function showTiles() {
    for (const state of [...STATES].reverse()) {
      $("tiles").append(el("button", { class: "tile " + state, type: "button", "data-state": state, onclick: () => toggle(state) },
        el("b", {}), el("span", {}, icon(state), SAID[state]), el("small", {})));
      const part = el("span", { class: state, "data-state": state });
      part.style.background = "currentColor";
      $("bar").prepend(part);
    }
  }

  // What a click on a tile would show: all filters count but the states themselves.
  function showCounts(counts) {
    const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
    for (const tile of $("tiles").children) {
      const state = tile.dataset.state, count = counts.get(state) || 0, pressed = view.states.has(state);
      tile.querySelector("b").textContent = String(count);
      tile.querySelector("small").textContent = (total ? Math.round((count / total) * 1000) / 10 : 0) + " %";
      tile.setAttribute("aria-pressed", String(pressed));
      tile.disabled = !count && !pressed;
    }
    for (const part of $("bar").children) {
      const count = counts.get(part.dataset.state) || 0;
      part.style.flexGrow = String(count);
      part.hidden = !count;
    }
  }

  // ---- expiry

  function showExpiry() {
    if (!data.expiry.length) {
      $("expiry").append(el("p", { class: "soft" }, "Nothing is known of when a CA or a served certificate ends."));
      return;
    }
    const percent = (days) => Math.max(0, Math.min(100, (days / AXIS_DAYS) * 100)) + "%";
    const rows = data.expiry.map((one) => {
      const fill = el("span", { class: "fill" });
      fill.style.width = percent(one.days_left);
      const zones = ["warning", "error"].map((level) => {
        const zone = el("span", { class: "zone " + level });
        zone.style.width = percent(data.run.thresholds[level + "_days"]);
        return zone;
      });
      const left = Math.floor(Math.abs(one.days_left));
      const said = one.days_left <= 0 ? "expired " + left + " days ago" : left + " days left";
      const kind = one.ending ? "CA that a rotation replaces" : one.kind === "ca" ? "CA" : "served certificate";
      const track = el("div", { class: "track " + (one.level === "ok" ? "ok" : one.level) }, fill, ...zones,
        el("span", { class: "said" }, said, mark(one.level)));
      return el("li", { "data-level": one.level },
        el("div", { class: "what" }, el("b", {}, one.registry), kind + ", " + one.subject + ", ends " + when(one.not_after)),
        track);
    });
    const axis = el("div", { class: "axis", "aria-hidden": "true" },
      ...[0, 100, 200, 300, 400].map((day) => el("span", {}, day ? day + " d" : "now")));
    $("expiry").append(el("ul", { class: "timeline", role: "list" }, ...rows, el("li", { "aria-hidden": "true" }, axis)));
  }

  // ---- nodes: filter, sort, pages

  const view = { states: new Set(), query: "", cluster: "", registry: "", by: "state", down: true, page: 0, open: new Set(), rows: [] };

  function toggle(state) {
    if (!view.states.delete(state)) view.states.add(state);
    refresh();
  }

  function sortKey(node) {
    if (view.by === "node") return node.name;
    if (view.by === "cluster") return node.cluster;
    if (view.by === "runtime") return runtimeOf(node);
    if (view.by === "state") return rank(node.state);
    return rank(stateFor(node, view.by.slice(2)));
  }

  const collator = new Intl.Collator("en", { numeric: true });

  function refresh() {
    const query = view.query.toLowerCase().split(/\s+/).filter(Boolean);
    const counts = new Map();
    const found = nodes.filter((node) => {
      if (view.cluster && node.cluster !== view.cluster) return false;
      const state = view.registry ? stateFor(node, view.registry) : node.state;
      if (view.registry && state === "none") return false;
      if (!query.every((word) => hayOf(node).includes(word))) return false;
      counts.set(state, (counts.get(state) || 0) + 1);
      return !view.states.size || view.states.has(state);
    });
    const keys = new Map(found.map((node) => [node, sortKey(node)]));
    const turn = view.down ? -1 : 1;
    found.sort((a, b) => {
      const one = keys.get(a), two = keys.get(b);
      const order = typeof one === "number" ? one - two : collator.compare(one, two);
      return turn * order || collator.compare(a.name, b.name);
    });
    view.rows = found;
    view.page = 0;
    showCounts(counts);
    showRows();
  }

  function column(key, said) {
    const button = el("button", { class: "sort", type: "button", onclick: () => {
      view.down = view.by === key ? !view.down : key === "state" || key.startsWith("r:");
      view.by = key;
      refresh();
    } }, said);
    return el("th", { scope: "col", role: "columnheader", "data-key": key }, button);
  }

  function showRows() {
    for (const head of $("head").children) {
      const mine = head.dataset.key === view.by;
      if (mine) head.setAttribute("aria-sort", view.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    const first = view.page * PAGE;
    const shown = view.rows.slice(first, first + PAGE);
    const rows = document.createDocumentFragment();
    for (const node of shown) {
      const button = el("button", { class: "name", type: "button", "aria-expanded": String(view.open.has(node.index)) }, node.name);
      const row = el("tr", { role: "row", "data-state": node.state },
        el("th", { scope: "row", role: "rowheader" }, button),
        ...(data.clusters.length > 1 ? [el("td", { role: "cell", "data-label": "Cluster" }, node.cluster)] : []),
        el("td", { role: "cell", "data-label": "State" }, mark(node.state)),
        ...names.map((name) => el("td", { role: "cell", "data-label": name }, mark(stateFor(node, name)))),
        el("td", { role: "cell", "data-label": "Runtime" }, runtimeOf(node)),
        el("td", { role: "cell", class: "why", "data-label": "Why" }, node.why.message ? el("span", { class: "clamp" }, node.why.message) : ""));
      button.addEventListener("click", () => {
        const open = button.getAttribute("aria-expanded") !== "true";
        button.setAttribute("aria-expanded", String(open));
        if (open) { view.open.add(node.index); row.after(detail(node)); }
        else { view.open.delete(node.index); row.nextElementSibling.remove(); }
      });
      rows.append(row);
      if (view.open.has(node.index)) rows.append(detail(node));
    }
    $("rows").replaceChildren(rows);
    const total = view.rows.length;
    const part = total > PAGE ? ", shown " + (first + 1) + " to " + (first + shown.length) : "";
    $("found").textContent = total + " of " + nodes.length + " nodes" + part;
    showPages(Math.ceil(total / PAGE));
  }

  function showPages(count) {
    const go = (page, said) => el("button", { class: "plain", type: "button", "data-go": said,
      disabled: page < 0 || page >= count || page === view.page,
      onclick: () => { view.page = page; showRows(); $("nodes").scrollIntoView(); refocus(said); } }, said);
    const last = count - 1;
    $("pages").replaceChildren(...(count > 1 ? [go(0, "First"), go(view.page - 1, "Previous"),
      el("span", {}, "Page " + (view.page + 1) + " of " + count), go(view.page + 1, "Next"), go(last, "Last")] : []));
  }

  // The buttons were made anew; a keyboard stays where it was.
  function refocus(said) {
    const buttons = [...$("pages").querySelectorAll("button:enabled")];
    (buttons.find((button) => button.dataset.go === said) || buttons[0]).focus({ preventScroll: true });
  }

  // ---- one node

  function facts(pairs) {
    const made = el("dl");
    for (const [name, value] of pairs) if (value) made.append(el("dt", {}, name), el("dd", {}, value));
    return made;
  }

  function fingerprints(found, expected) {
    const all = [...new Set([...expected, ...found])];
    return list(all.map((pin) => {
      const wrong = !found.includes(pin) ? "missing: " : !expected.includes(pin) ? "not expected: " : "";
      return el("span", {}, el("span", { class: wrong ? "off" : "soft" }, wrong || "as expected: "), el("code", {}, pin));
    }));
  }

  function clock(skew) {
    if (skew === null) return "";
    if (skew === 0) return "right";
    const off = Math.abs(skew);
    const said = off < 7200 ? Math.round(off) + " seconds " : off < 172800 ? Math.round(off / 3600) + " hours " : Math.round(off / 86400) + " days ";
    return said + (skew > 0 ? "ahead" : "behind");
  }

  function detail(node) {
    const { why, more } = node;
    const cell = el("td", { role: "cell", colspan: String($("head").children.length) },
      why.next_step ? el("p", { class: "fix" }, el("b", {}, "How to fix: "), why.next_step) : "",
      facts([["State", mark(node.state)], ["Reason", why.reason], ["What", why.message], ["Found", why.found],
             ["Expected", why.expected], ["Done", list(more.changes)],
             ["Restart", more.restart_due ? "a restart of the runtime is due" : ""], ["Runtime", runtimeOf(node)],
             ["Clock", clock(node.skew)], ["Cluster", node.cluster], ["Groups", more.groups.join(", ")],
             ["Labels", labelsOf(node).join(", ")]]));
    for (const one of node.mine.values()) {
      cell.append(el("h3", {}, one.registry), facts([
        ["State", mark(one.state)], ["Certificates", fingerprints(one.found_fingerprints, one.expected_fingerprints)],
        ["Files", list(one.files)], ["Why", list(one.reasons)], ["Proof", one.proof.replace("_", " ")],
        ["First CA ends", when(one.not_after)]]));
    }
    return el("tr", { class: "detail", role: "row" }, cell);
  }

  // ---- together

  function start() {
    showHead();
    showTiles();
    showExpiry();
    $("head").append(column("node", "Node"), ...(data.clusters.length > 1 ? [column("cluster", "Cluster")] : []),
      column("state", "State"), ...names.map((name) => column("r:" + name, name)), column("runtime", "Runtime"),
      el("th", { scope: "col", role: "columnheader" }, "Why"));
    $("cluster").append(...data.clusters.map((name) => el("option", { value: name }, name)));
    $("cluster").parentElement.hidden = data.clusters.length < 2;
    $("registry").append(...names.map((name) => el("option", { value: name }, name)));
    $("search").addEventListener("input", (event) => { view.query = event.target.value; refresh(); });
    for (const id of ["cluster", "registry"]) $(id).addEventListener("change", (event) => { view[id] = event.target.value; refresh(); });
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    $("filters").addEventListener("reset", () => {
      Object.assign(view, { query: "", cluster: "", registry: "" });
      view.states.clear();
      refresh();
    });
    refresh();
    performance.mark("fleet-ready");
    document.documentElement.dataset.ready = "true";
  }

  start();
})();
