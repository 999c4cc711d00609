// The list of entries beside the editor. Names come from the syntax tree once typing pauses; what else a row says is
// read when the row is shown, so that five thousand entries cost as little as fifty.

import { forEachDiagnostic, setDiagnosticsEffect } from "@codemirror/lint";
import { EditorView } from "@codemirror/view";
import { element } from "./dom.js";
import { members, root, value, wholeTree, word } from "./places.js";
import { goTo } from "./problems.js";

const ROW = 42; // pixels; .outline [role=option] in editor.css
const AFTER = 250; // milliseconds without a key
const SLICE = 12; // milliseconds of parsing at a time
const CHECKS =
  "authorization basic_auth digest_auth jwt oauth1 oauth2 hmac header_auth query_auth recaptcha ip_whitelist".split(
    " ",
  );

export class Outline {
  constructor(kind) {
    this.kind = kind;
    this.entries = []; // {name, from}: of the whole document, in its order; `from` is moved along while one types
    this.shown = []; // indexes of those that pass the filter
    this.current = -1;
    this.counts = new Map(); // index → {error, warning}
    this.form = null; // while it is visible, Enter goes there
    this.count = element("span", { class: "soft small", "aria-live": "polite" });
    this.filter = element("input", {
      type: "search",
      placeholder: "Filter",
      "aria-label": `Filter the entries of ${kind}.json`,
      oninput: () => this.sift(),
    });
    this.space = element("div", { class: "outline-space", role: "presentation" });
    this.list = element(
      "div",
      {
        class: "outline-list",
        role: "listbox",
        tabindex: "0",
        id: `outline-${kind}`,
        "aria-label": `Entries of ${kind}.json`,
        onscroll: () => this.draw(),
        onkeydown: (event) => this.key(event),
        onclick: (event) => this.click(event),
      },
      this.space,
    );
    this.filter.addEventListener("keydown", (event) => this.filterKey(event));
    this.dom = element(
      "div",
      { class: "outline" },
      element("div", { class: "outline-head" }, this.filter, this.count),
      this.list,
    );
    this.extension = EditorView.updateListener.of((update) => this.update(update));
    new ResizeObserver(() => this.draw()).observe(this.list);
  }

  attach(view) {
    this.view = view;
    this.schedule(0);
  }

  update(update) {
    if (update.docChanged) {
      for (const entry of this.entries) entry.from = update.changes.mapPos(entry.from, 1);
      this.schedule(AFTER);
    }
    if (update.docChanged || update.selectionSet) this.follow();
    if (update.transactions.some((one) => one.effects.some((effect) => effect.is(setDiagnosticsEffect))))
      this.recount();
  }

  schedule(after) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.read(), after);
  }

  // The names of all entries, as soon as the tree reaches the end of the document.
  read() {
    const { state } = this.view;
    const tree = wholeTree(state, SLICE);
    if (!tree) return this.schedule(1);
    const object = root(tree);
    const found = [];
    for (let child = object?.firstChild; child; child = child.nextSibling) {
      if (child.name !== "Property") continue;
      const key = child.firstChild;
      if (key?.name === "PropertyName") found.push({ name: word(state, key), from: child.from });
    }
    const same =
      found.length === this.entries.length && found.every((one, index) => one.name === this.entries[index].name);
    this.entries = found;
    performance.mark("console:outline");
    if (!same) this.sift();
    this.recount();
    this.follow();
    return undefined;
  }

  sift() {
    const wanted = this.filter.value.trim().toLowerCase();
    this.shown = [];
    for (const [index, entry] of this.entries.entries()) {
      if (
        !wanted ||
        entry.name.toLowerCase().includes(wanted) ||
        this.about(index).join(" ").toLowerCase().includes(wanted)
      )
        this.shown.push(index);
    }
    this.space.style.height = `${this.shown.length * ROW}px`;
    const total = this.entries.length;
    this.count.textContent = wanted
      ? `${this.shown.length} of ${total}`
      : `${total} ${total === 1 ? "entry" : "entries"}`;
    this.draw();
  }

  recount() {
    this.counts = new Map();
    forEachDiagnostic(this.view.state, (diagnostic, from) => {
      if (diagnostic.severity !== "error" && diagnostic.severity !== "warning") return;
      const index = this.indexAt(from);
      const counted = this.counts.get(index) ?? { error: 0, warning: 0 };
      counted[diagnostic.severity] += 1;
      this.counts.set(index, counted);
    });
    this.draw();
  }

  // The entry that a position is in or behind; -1 before the first.
  indexAt(position) {
    let [low, high] = [0, this.entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.entries[middle].from <= position) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  entryNode(index) {
    const tree = wholeTree(this.view.state, 50);
    const entry = this.entries[index];
    if (!tree || !entry) return null;
    let here = tree.resolveInner(entry.from, 1);
    while (here && here.name !== "Property") here = here.parent;
    return here;
  }

  // What a row says below its name: the module, chain or type, and how callers are checked.
  about(index) {
    const node = this.entryNode(index);
    const object = node?.getChild("Object");
    if (!object) return [];
    const { state } = this.view;
    const found = new Map(members(state, object).map((one) => [one.name, one.value]));
    const said = (key) => String(value(state, found.get(key)) ?? "");
    if (this.kind === "connections") return [said("type") || "no type"];
    const steps = found.get("chain")?.name === "Array" ? value(state, found.get("chain")) : null;
    const what = steps
      ? `chain: ${steps.map((step) => step?.module ?? step).join(" → ")}`
      : said("module") || "no module";
    const checks = CHECKS.filter((check) => found.has(check));
    return [what, checks.length ? checks.join(", ") : "open"];
  }

  follow() {
    const index = this.indexAt(this.view.state.selection.main.head);
    if (index === this.current) return;
    this.current = index;
    this.reveal();
    this.draw();
  }

  reveal() {
    const at = this.shown.indexOf(this.current);
    if (at < 0) return;
    const { scrollTop, clientHeight } = this.list;
    if (at * ROW < scrollTop) this.list.scrollTop = at * ROW;
    else if ((at + 1) * ROW > scrollTop + clientHeight) this.list.scrollTop = (at + 1) * ROW - clientHeight;
  }

  draw() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      this.paint();
    });
  }

  paint() {
    const first = Math.max(0, Math.floor(this.list.scrollTop / ROW) - 2);
    const last = Math.min(this.shown.length, Math.ceil((this.list.scrollTop + this.list.clientHeight) / ROW) + 2);
    const rows = [];
    for (let at = first; at < last; at += 1) rows.push(this.row(at));
    this.space.replaceChildren(...rows);
    const chosen = this.shown.indexOf(this.current);
    if (chosen >= first && chosen < last)
      this.list.setAttribute("aria-activedescendant", `outline-${this.kind}-${chosen}`);
    else this.list.removeAttribute("aria-activedescendant");
  }

  row(at) {
    const index = this.shown[at];
    const counted = this.counts.get(index);
    const badge = (number, kind) =>
      number
        ? element(
            "span",
            { class: `count ${kind}`, title: `${number} ${kind}${number > 1 ? "s" : ""}` },
            String(number),
          )
        : null;
    const [what, checks] = this.about(index);
    const made = element(
      "div",
      {
        role: "option",
        id: `outline-${this.kind}-${at}`,
        "data-at": at,
        "aria-selected": String(index === this.current),
        "aria-setsize": this.shown.length,
        "aria-posinset": at + 1,
      },
      element("span", { class: "name" }, this.entries[index].name || "(no name)"),
      element("span", { class: "counts" }, badge(counted?.error, "error"), badge(counted?.warning, "warning")),
      element(
        "span",
        { class: "what" },
        what ?? "",
        checks ? element("span", { class: checks === "open" ? "open" : "" }, ` · ${checks}`) : null,
      ),
    );
    made.style.top = `${at * ROW}px`;
    return made;
  }

  click(event) {
    const row = event.target.closest("[data-at]");
    if (row) this.choose(Number(row.dataset.at), true);
  }

  // Arrows move the mark (and with it the cursor of the editor); Enter goes into the text.
  key(event) {
    const here = this.shown.indexOf(this.current);
    const page = Math.max(1, Math.floor(this.list.clientHeight / ROW) - 1);
    const steps = {
      ArrowDown: here + 1,
      ArrowUp: here - 1,
      Home: 0,
      End: this.shown.length - 1,
      PageDown: here + page,
      PageUp: here - page,
    };
    if (event.key === "Enter") this.choose(here, true);
    else if (event.key in steps) this.choose(Math.min(Math.max(steps[event.key], 0), this.shown.length - 1), false);
    else return;
    event.preventDefault();
  }

  filterKey(event) {
    if (event.key === "ArrowDown") this.list.focus();
    else if (event.key === "Enter") this.choose(0, true);
    else return;
    event.preventDefault();
  }

  choose(at, enter) {
    const entry = this.entries[this.shown[at]];
    if (!entry) return;
    const position = Math.min(entry.from, this.view.state.doc.length);
    if (enter && !this.form?.visible) return goTo(this.view, position);
    this.view.dispatch({
      selection: { anchor: position },
      effects: EditorView.scrollIntoView(position, { y: "center" }),
    });
    if (enter) this.form.focus();
    return undefined;
  }
}
