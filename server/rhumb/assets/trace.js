"use strict";
// Draws the trace. Text of agents goes into text nodes and nowhere else; every address is a fragment made of a number.
(() => {
const $ = id => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const { trace, rows } = data;
const NS = $("chart").namespaceURI;
// Up to this width the evidence stands between timeline and table, as in the style.
const STACKED = 1180;
const VERDICTS = ["ALLOW", "WARN", "ESCALATE", "DENY", "ABSTAIN"];
rows.forEach((row, i) => {
  const decision = trace.decisions[i], request = decision.request || {}, score = decision.response || {};
  Object.assign(row, { decision, request, score, index: i, action: request.action || {}, place: request.chain || {}, state: score.chain || {} });
  row.verdict = VERDICTS.includes(score.verdict) ? score.verdict : "ABSTAIN";
  row.scored = typeof score.drift === "number";
  row.effect = row.action.effect || "UNKNOWN";
  row.who = row.agent || "(not recorded)";
});
const first = rows.findIndex(row => row.first);
let chosen = -1;

// Characters that steer or hide are shown as what they are.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;
const plain = text => String(text).replace(HIDDEN, c => "⟨U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩");
const cut = (text, most) => { const all = [...plain(text)]; return all.length > most ? all.slice(0, most - 1).join("") + "…" : all.join(""); };
const add = (node, kids) => { node.append(...kids.flat().filter(k => k != null && k !== "" && k !== false).map(k => k instanceof Node ? k : plain(k))); return node; };
const el = (tag, cls, ...kids) => { const node = document.createElement(tag); if (cls) node.className = cls; return add(node, kids); };
const svg = (tag, attributes, ...kids) => {
  const node = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return add(node, kids);
};
const bdi = text => el("bdi", "", text);
const two = n => n.toFixed(2);
const signed = n => (n < 0 ? "−" : "+") + Math.abs(n).toFixed(2);
const when = text => (text || "").replace("T", " ").replace(/\.(\d{3})\d*/, ".$1").replace(/Z$|\+00:00$/, " UTC");
const quoted = text => "“" + text + "”";

// A verdict has a shape as well as a colour.
function shape(verdict, x, y, r) {
  const cls = "mark " + verdict + (r < 2.5 ? " small" : ""), path = d => svg("path", { d, class: cls });
  if (verdict === "WARN") return path(`M${x} ${y - r * 1.15}L${x + r * 1.1} ${y + r * .8}H${x - r * 1.1}Z`);
  if (verdict === "ESCALATE") return path(`M${x} ${y - r * 1.3}L${x + r * 1.3} ${y}L${x} ${y + r * 1.3}L${x - r * 1.3} ${y}Z`);
  if (verdict === "DENY") return svg("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r, class: cls });
  return svg("circle", { cx: x, cy: y, r: verdict === "ABSTAIN" ? r * .85 : r, class: cls });
}
const icon = verdict => svg("svg", { viewBox: "-7 -7 14 14", "aria-hidden": "true" }, shape(verdict, 0, 0, 5));
const badge = row => el("span", "badge " + row.verdict, icon(row.verdict), row.score.verdict || "no answer");
const meter = row => svg("svg", { class: "meter " + row.verdict, viewBox: "0 0 56 7", "aria-hidden": "true" },
  svg("rect", { width: 56, height: 7 }), svg("rect", { width: 56 * Math.min(1, row.score.drift), height: 7 }));
const drift = row => row.scored ? el("span", "nowrap", meter(row), two(row.score.drift)) : el("span", "dim", "no score");

function pairs(entries) {
  const list = el("dl", "pairs");
  for (const [name, value, mono] of entries) if (value != null && value !== "") list.append(el("dt", "", name), el("dd", mono ? "mono" : "", value));
  return list;
}

function head() {
  const principal = trace.principal || "Somebody", intent = data.version || {}, reference = (rows.find(r => r.score.intent) || { score: {} }).score.intent || {};
  const registered = trace.intent || {};
  document.title = "Rhumb trace " + cut(trace.chainId || "", 60);
  add($("chain"), [trace.chainId || ""]);
  add($("asked"), [bdi(principal), " asked"]);
  add($("request"), [trace.intentText ? quoted(trace.intentText.trim()) : "The text is not kept."]);
  const id = registered.intentId || reference.intentId, times = rows.map(r => r.decision.time).filter(Boolean).sort();
  const span = times.length ? when(times[0]).replace(/\.\d+/, "") + (times.length > 1 ? " to " + when(times[times.length - 1]).replace(/\.\d+/, "") : "") : "";
  const facts = [["Intent", id ? id + ", version " + (intent.version || reference.version || "?") : "not registered"], ["Digest", (intent.digest || reference.digest || "").slice(0, 23)],
    ["Provenance", data.trust], ["Tenant", data.tenant], ["Actions", rows.length + (trace.cut ? ", and more" : "")], ["When", span], ["Revoked", when(registered.revoked)]];
  for (const [name, value] of facts) if (value) $("facts").append(el("div", "", el("dt", "", name), el("dd", name === "Digest" ? "mono" : "", value)));
  data.answers.forEach((a, i) => $("answers").append(el("dt", "", a.question), el("dd", i ? "" : "lead", bdi(a.answer))));
  add($("note"), [data.note]);
  add($("program"), [data.program + "."]);
  const names = { ALLOW: "allow", WARN: "warn", ESCALATE: "ask a human", DENY: "deny", ABSTAIN: "cannot say" };
  for (const v of VERDICTS) $("legend").append(el("li", "", icon(v), names[v]));
}

// Agents in the order in which they appear; the principal first. What has no lane of its own shares the last.
function lanes() {
  const most = 12, names = new Map();
  const see = name => { if (name && !names.has(name)) names.set(name, Math.min(names.size, most)); };
  see(trace.principal);
  rows.forEach(row => { see(row.delegator); see(row.who); });
  const labels = [...names.keys()].slice(0, most);
  if (names.size > most) labels.push(`${names.size - most} more agents`);
  return { names, labels };
}

let place = () => 0;
function chart() {
  const width = Math.max(300, $("plot").clientWidth), wide = width > 720, n = Math.max(1, rows.length);
  const left = wide ? 150 : 64, right = wide ? 136 : 14, top = 30, tall = 190, { names, labels } = lanes();
  const step = (width - left - right) / n, x = i => left + step * (i + .5), end = width - right;
  const y = d => top + tall * (1 - Math.min(1, Math.max(0, d)));
  const out = [], draw = (tag, attributes, ...kids) => out.push(svg(tag, attributes, ...kids));
  const label = (text, at, up, cls, anchor) => draw("text", { x: at, y: up, class: cls || "", "text-anchor": anchor || "start" }, text);
  const gathered = rows.some(r => r.state.cumulativeThreshold > 0), sumTop = top + tall + 34, sumTall = 58;
  const laneTop = gathered ? sumTop + sumTall + 36 : top + tall + 36, lane = 24, bottom = laneTop + labels.length * lane;

  labels.forEach((_, i) => draw("rect", { x: left, y: laneTop + lane * i + 1, width: end - left, height: lane - 2, class: "lane" }));
  if (first >= 0) {
    const at = x(first), edge = at - Math.min(step / 2, 14), back = at > width * .7;
    draw("rect", { x: edge, y: top, width: end - edge, height: bottom - top, class: "wash" });
    draw("line", { x1: edge, x2: edge, y1: top - 18, y2: bottom, class: "began" });
    draw("path", { d: `M${edge} ${top - 21}l${back ? -9 : 9} 5l${back ? 9 : -9} 5z`, class: "flag" });
    label("Drift began: hop " + rows[first].label, edge + (back ? -14 : 14), top - 12, "began", back ? "end" : "start");
  }
  for (const d of [0, .25, .5, .75, 1]) {
    draw("line", { x1: left, x2: end, y1: y(d), y2: y(d), class: "grid" });
    label(d === 0 || d === 1 ? String(d) : two(d), left - 8, y(d) + 4, "", "end");
  }
  if (wide) { label("Drift", 0, top + 4, "strong"); label("of each action", 0, top + 19); }
  limits(draw, label, x, y, step, end, wide);
  course(draw, x, y, step);
  for (const row of rows) {
    const r = Math.min(6, Math.max(row.verdict === "ALLOW" ? 1.5 : 3, step * .3));
    out.push(row.scored ? shape(row.verdict, x(row.index), y(row.score.drift), r) : shape("ABSTAIN", x(row.index), y(0), r));
    if (!row.scored && step > 60) label("no score", x(row.index), y(0) - 12, "", "middle");
  }
  if (gathered) gather(draw, label, x, sumTop, sumTall, left, end, wide);
  strip(draw, label, names, labels, x, step, laneTop, lane, left, wide);
  const every = [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500].find(k => k * step >= 34) || 1000;
  const ticked = i => (i + 1) % every === 0 || (i === 0 && (every - 1) * step >= 30);
  for (const row of rows) if (ticked(row.index)) label(row.label, x(row.index), bottom + 15, "", "middle");
  label(wide ? "hop" : "", left - 8, bottom + 15, "", "end");
  place = at => Math.min(n - 1, Math.max(0, Math.floor((at - left) / step)));

  const half = Math.max(1.5, Math.min(step / 2, 26));
  const over = svg("line", { y1: top, y2: bottom, class: "over", visibility: "hidden" });
  const box = svg("rect", { y: top, width: 2 * half, height: bottom - top, class: "atbox", visibility: "hidden" });
  const tick = svg("path", { class: "at", visibility: "hidden" });
  $("chart").setAttribute("viewBox", `0 0 ${width} ${bottom + 22}`);
  $("chart").replaceChildren(box, ...out, tick, over);
  chart.at = i => {
    box.setAttribute("x", x(i) - half); tick.setAttribute("d", `M${x(i)} ${bottom + 1}l5 -7h-10z`);
    for (const node of [box, tick]) node.setAttribute("visibility", "visible");
  };
  chart.over = i => { over.setAttribute("visibility", i < 0 ? "hidden" : "visible"); if (i >= 0) { over.setAttribute("x1", x(i)); over.setAttribute("x2", x(i)); } };
  if (chosen >= 0) chart.at(chosen);
}

// One threshold for each effect; where it changed on the way, a step.
function limits(draw, label, x, y, step, end, wide) {
  const places = [];
  for (const effect of ["READ", "WRITE", "UNKNOWN"]) {
    const known = rows.filter(r => r.effect === effect && typeof r.score.threshold === "number");
    if (!known.length) continue;
    let d = "", last;
    for (const row of known) {
      const at = x(row.index) - step / 2, up = y(row.score.threshold);
      if (last === undefined) d = `M${x(0) - step / 2} ${up}`; else if (up !== last) d += `H${at}V${up}`;
      last = up;
    }
    draw("path", { d: d + "H" + end, class: "limit " + effect });
    places.push({ up: last + 4, text: (effect === "UNKNOWN" ? "" : effect + " ") + "alarm from " + two(known[known.length - 1].score.threshold) });
  }
  if (!wide) return;
  places.sort((a, b) => a.up - b.up).forEach((p, i) => { if (i && p.up - places[i - 1].up < 13) p.up = places[i - 1].up + 13; label(p.text, end + 8, p.up); });
}

function course(draw, x, y, step) {
  let d = "", on = false;
  for (const row of rows) { if (row.scored) d += (on ? "L" : "M") + x(row.index).toFixed(1) + " " + y(row.score.drift).toFixed(1); on = row.scored; }
  if (d) draw("path", { d, class: step < 8 ? "course thin" : "course" });
}

function gather(draw, label, x, top, tall, left, end, wide) {
  const known = rows.filter(r => typeof r.state.cumulativeThreshold === "number" && r.state.cumulativeThreshold > 0);
  const sum = r => r.state.cumulativeDrift || 0, limit = known[known.length - 1].state.cumulativeThreshold;
  const most = Math.max(limit * 1.4, ...known.map(sum)), y = v => top + tall * (1 - v / most);
  const line = known.map(r => `${x(r.index).toFixed(1)} ${y(sum(r)).toFixed(1)}`).join("L"), ends = [known[0], known[known.length - 1]].map(r => x(r.index));
  draw("path", { d: `M${ends[0]} ${top + tall}L${line}L${ends[1]} ${top + tall}Z`, class: "area" });
  draw("path", { d: "M" + line, class: "edge" });
  draw("line", { x1: left, x2: end, y1: top + tall, y2: top + tall, class: "grid" });
  draw("line", { x1: left, x2: end, y1: y(limit), y2: y(limit), class: "limit" });
  if (top + tall - y(limit) > 11) label("0", left - 8, top + tall + 4, "", "end");
  label(limit.toFixed(1), left - 8, y(limit) + 4, "", "end");
  if (wide) { label("Gathered", 0, top + 10, "strong"); label("log-odds, over hops", 0, top + 25); label("chain alarm", end + 8, y(limit) + 4); }
}

// Who acted when, and who handed over to whom.
function strip(draw, label, names, labels, x, step, top, tall, left, wide) {
  const mid = i => top + tall * (i + .5), half = Math.max(.6, Math.min(step / 2, 26));
  if (wide) label("Delegation", 0, top - 9, "strong");
  labels.forEach((name, i) => {
    draw("text", { x: left - 8, y: mid(i) + 4, "text-anchor": "end" }, svg("title", {}, name), cut(name, wide ? 22 : 9));
  });
  for (let i = 0, from = 0; i < rows.length; i++) {
    if (i + 1 < rows.length && rows[i + 1].who === rows[i].who) continue;
    const start = x(from) - half;
    draw("rect", { x: start, y: mid(names.get(rows[i].who)) - 5, width: x(i) + half - start, height: 10, rx: Math.min(4, half), class: "run" });
    from = i + 1;
  }
  for (const row of rows) {
    const before = rows[row.index - 1] || {}, a = names.get(row.delegator), b = names.get(row.who), at = x(row.index) - (step > 24 ? half * .25 : 0);
    if (a !== undefined && a !== b && (before.who !== row.who || before.delegator !== row.delegator)) {
      const down = b > a ? 1 : -1, tip = mid(b) - down * 5;
      draw("path", { d: `M${at} ${mid(a) + (before.who === row.delegator && step < 24 ? 5 * down : 0)}V${tip - 4 * down}`, class: "handed" });
      draw("path", { d: `M${at - 3.5} ${tip - 5 * down}h7l-3.5 ${5 * down}z`, class: "head" });
    }
    if (row.verdict !== "ALLOW") draw("g", {}, shape(row.verdict, x(row.index), mid(b), Math.max(1.6, Math.min(3.6, step * .3))));
  }
}

function table() {
  for (const row of rows) {
    const link = el("a", "", row.label);
    link.href = "#hop=" + row.label;
    link.setAttribute("aria-label", spoken(row));
    const tr = el("tr", "",
      el("td", "", row.first ? "► " : "", link),
      el("td", "", bdi(cut(row.who, 60)), row.delegator && el("span", "sub", "asked by ", bdi(cut(row.delegator, 60)))),
      el("td", "", row.first && el("span", "began-tag", "Drift began here"), el("span", "tool", bdi(cut(row.tool, 80))), el("span", "effect", row.effect), row.telling && el("span", "sub", bdi(row.telling))),
      el("td", "", drift(row)), el("td", "", badge(row)), el("td", "", bdi(cut(row.point, 60))));
    tr.addEventListener("click", event => { if (!link.contains(event.target)) { go(row.index); if (innerWidth <= STACKED) reveal(); } else if (named() === row.index) reveal(); });
    row.tr = tr;
    $("rows").append(tr);
  }
  const other = rows.filter(r => r.verdict !== "ALLOW"), box = $("filter").querySelector("input");
  $("filter").hidden = rows.length < 10 || !other.length || other.length === rows.length;
  add($("filter").querySelector("span"), [`only what was not simply allowed (${other.length} of ${rows.length})`]);
  box.addEventListener("change", () => rows.forEach(r => { r.tr.hidden = box.checked && r.verdict === "ALLOW"; }));
}
const spoken = row => `Hop ${row.label}, ${cut(row.who, 60)}, ${cut(row.tool, 60)}, ${row.scored ? "drift " + two(row.score.drift) : "no score"}, ${row.score.verdict || "no answer"}${row.first ? ", drift began here" : ""}`;

const part = (title, ...kids) => [el("h3", "", title), ...kids];
const ORIGIN = { INTENT: "request", TRUSTED_CONTEXT: "trusted context", UNTRUSTED_CONTEXT: "only untrusted text", NEW: "nowhere" };

function panel(row) {
  const step = to => { const link = el("a", "", to > row.index ? "next →" : "← previous"); link.href = "#hop=" + rows[to].label; return link; };
  const nav = el("nav", "", row.index > 0 && step(row.index - 1), row.index + 1 < rows.length && step(row.index + 1));
  const title = el("h2", "wrap", "Hop " + row.label + ", ", bdi(cut(row.who, 80)));
  title.tabIndex = -1;
  const s = row.score, evidence = s.evidence || {}, status = s.status && s.status !== "SCORED" ? s.status : "";
  const parts = [el("div", "who", title, nav),
    el("p", "", row.scored && el("span", "big", two(s.drift)), badge(row), " ", el("span", "dim", [s.reasonCode, status, row.scored && typeof s.threshold === "number" && "alarm from " + two(s.threshold)].filter(Boolean).join(", "))),
    (row.telling || s.detail) && el("p", "gave " + row.verdict, bdi(row.telling), s.detail ? el("span", "dim", row.telling ? ". " : "", bdi(s.detail)) : "")];
  parts.push(...asked(row), ...request(row), ...values(evidence.values || []), ...features(evidence.features || []), ...words(evidence), ...contexts(row), record(row));
  $("panel").replaceChildren(...parts.flat().filter(p => p instanceof Node));
  $("panel").scrollTop = 0;
}

function asked(row) {
  const { stepDrift, instructionDrift } = row.state;
  if (!row.delegator && !row.place.instruction && stepDrift == null) return [];
  return part("Delegation", row.place.instruction && el("p", "wrap", bdi(quoted(row.place.instruction))), pairs([["asked by", row.delegator],
    ["action from this instruction", stepDrift != null && two(stepDrift)], ["instruction from the request", instructionDrift != null && two(instructionDrift)]].filter(p => p[1] !== false)));
}

function request(row) {
  const a = row.action;
  if (!row.decision.request) return part("Action", el("p", "dim", "The request is not kept; its digest is below."));
  let text = a.argumentsJson || (a.arguments && JSON.stringify(a.arguments, null, 2)) || "";
  return part("Action", pairs([["tool", a.tool], ["server", a.server], ["effect", row.effect], ["says of itself", a.toolDescription]]),
    a.text && el("p", "wrap", bdi(quoted(a.text))), text && el("pre", "", text));
}

function values(list) {
  if (!list.length) return [];
  const body = el("tbody", "");
  for (const v of list) {
    const grade = v.grade || 0, cls = v.origin === "NEW" || v.origin === "UNTRUSTED_CONTEXT" ? "badge DENY" : "";
    body.append(el("tr", "", el("td", "", el("span", "mono", cut((v.path || "").replace(/^arguments\./, ""), 40)), el("span", "sub", v.kind)), el("td", "", bdi(v.value || "")),
      el("td", cls, ORIGIN[v.origin] || "unknown"), el("td", "", two(grade))));
  }
  const titles = ["Argument", "Value", "Seen in", "Covered"].map(t => { const th = el("th", "", t); th.scope = "col"; return th; });
  return part("Values of the arguments", el("table", "", el("thead", "", el("tr", "", titles)), body));
}

function features(list) {
  if (!list.length) return [];
  const sorted = list.map(f => ({ name: f.name || "", value: f.value || 0, add: f.contribution || 0 })).sort((a, b) => Math.abs(b.add) - Math.abs(a.add));
  const most = Math.max(.01, ...sorted.map(f => Math.abs(f.add)));
  const bars = sorted.map(f => {
    const w = 50 * Math.abs(f.add) / most, line = el("div", "feature", el("span", "wrap", f.name.replace(/_/g, " ")),
      svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("rect", { x: f.add < 0 ? 50 - w : 50, y: 1, width: w, height: 8, class: f.add < 0 ? "down" : "up" }), svg("line", { x1: 50, x2: 50, y1: 0, y2: 10, class: "zero", "vector-effect": "non-scaling-stroke" })),
      el("span", "", signed(f.add)));
    line.title = plain((data.features[f.name] || f.name) + ": " + two(f.value));
    return line;
  });
  return part("What each number added to the log-odds: − towards the request, + away from it", el("div", "", bars));
}

function words(evidence) {
  const list = evidence.unmatchedWords || [], findings = evidence.findings || [], out = [];
  if (list.length) out.push(part("Words without a counterpart in the request", el("ul", "words", list.map(w => el("li", "", bdi(w))))));
  if (findings.length) out.push(part("Findings", el("ul", "words", findings.map(f => el("li", "", bdi(f.replace(/_/g, " ").replace(":", " in ")))))));
  if (evidence.weakestSegment) out.push(el("p", "dim", "Least counterpart: ", bdi(evidence.weakestSegment), evidence.weakestSegmentSimilarity != null ? ` (${two(evidence.weakestSegmentSimilarity)})` : ""));
  return out.flat();
}

function contexts(row) {
  return (row.request.context || []).flatMap(c => part((c.trusted ? "Trusted" : "Untrusted") + " text that the agent read" + (c.source ? ", from " + cut(c.source, 60) : ""), el("pre", "", c.text || "")));
}

function record(row) {
  const d = row.decision, s = row.score, m = s.model || {}, t = s.timings || {}, i = s.intent || {};
  const ms = n => n == null ? "" : n.toFixed(n < 10 ? 2 : 1) + " ms", cached = [t.intentCached && "request", t.actionCached && "action", t.decisionCached && "answer"].filter(Boolean).join(", ");
  const box = el("details", "", el("summary", "", "Record, model, timings"), pairs([["decision", d.decisionId, 1], ["record", d.sequence], ["record digest", d.recordDigest, 1], ["time", when(d.time)],
    ["request", d.requestId, 1], ["request digest", d.requestDigest, 1], ["action digest", d.actionDigest, 1], ["enforcement point", row.point], ["caller", d.caller], ["tenant", d.tenant], ["provenance", s.provenance],
    ["intent", i.intentId && i.intentId + ", version " + i.version, 0], ["similarity", s.similarity == null ? "" : two(s.similarity)], ["model", m.name && [m.name, m.precision, m.device].filter(Boolean).join(", ")], ["model digest", m.digest, 1],
    ["calibration", s.calibrationId, 1], ["total", ms(t.totalMs)], ["waiting", ms(t.queueMs)], ["encoder", ms(t.encodeMs)], ["scoring", ms(t.driftMs)], ["at hand already", cached]]));
  box.open = record.open;
  box.addEventListener("toggle", () => { record.open = box.open; });
  return box;
}

function choose(i) {
  if (!rows[i]) return;
  if (rows[chosen]) rows[chosen].tr.removeAttribute("aria-current");
  chosen = i;
  rows[i].tr.setAttribute("aria-current", "true");
  const plot = $("plot");
  plot.setAttribute("aria-valuenow", i + 1);
  plot.setAttribute("aria-valuetext", spoken(rows[i]));
  chart.at(i);
  panel(rows[i]);
}
const go = i => { history.replaceState(null, "", "#hop=" + rows[i].label); choose(i); };
// On a narrow page the evidence stands above the table, out of sight of the row that was chosen.
const reveal = () => $("panel").querySelector("h2").focus({ preventScroll: innerWidth > STACKED });
const named = () => { const m = /^#hop=([\d.]+)$/.exec(location.hash); return m ? rows.findIndex(r => r.label === m[1]) : -1; };

function listen() {
  const plot = $("plot"), at = event => { const box = plot.getBoundingClientRect(); return place((event.clientX - box.left) * Math.max(300, plot.clientWidth) / box.width); };
  plot.addEventListener("click", event => go(at(event)));
  plot.addEventListener("pointermove", event => { const i = at(event); chart.over(i); plot.title = spoken(rows[i]); });
  plot.addEventListener("pointerleave", () => chart.over(-1));
  plot.addEventListener("keydown", event => {
    const far = Math.max(10, Math.round(rows.length / 20)), move = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: far, PageDown: -far, Home: -rows.length, End: rows.length }[event.key];
    if (move) { event.preventDefault(); go(Math.min(rows.length - 1, Math.max(0, chosen + move))); }
    if (event.key === "Enter") { event.preventDefault(); reveal(); }
  });
  $("panel").addEventListener("keydown", event => { if (event.key === "Escape") plot.focus(); });
  addEventListener("hashchange", () => { const i = named(); if (i >= 0) { choose(i); reveal(); } });
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; chart(); } });
}

head();
chart();
table();
$("plot").setAttribute("aria-valuemin", 1);
$("plot").setAttribute("aria-valuemax", rows.length);
if (rows.length) { listen(); choose(Math.max(0, named() >= 0 ? named() : first)); }
else { $("plot").removeAttribute("tabindex"); $("panel").append(el("p", "dim", "No action is recorded for this chain.")); }
})();
