// Small things that make pages easier to use. Every page works without them.

import { forgetAll, forgetOld, isAnythingKept, onSignOutElsewhere, signOut } from "./kept.js";

const MINUTE = 60;

function ago(seconds) {
  if (seconds < 0) return `in ${span(-seconds)}`;
  if (seconds < 3) return "just now";
  return `${span(seconds)} ago`;
}

function span(seconds) {
  if (seconds < MINUTE) return `${Math.round(seconds)} s`;
  if (seconds < 60 * MINUTE) return `${Math.floor(seconds / MINUTE)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

function refreshTimes() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const text = ago((now - Date.parse(time.dateTime)) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
}

setInterval(refreshTimes, 1000);

// "/" goes to the page's filter, unless somebody is typing.
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.metaKey && !event.ctrlKey && !event.altKey) {
    const filter = document.querySelector("[data-filter]");
    if (filter) {
      event.preventDefault();
      filter.focus();
      filter.select();
    }
  }
});

// A security key that was refused, missing or cancelled is said on the page, not in the browser's console.
document.addEventListener("allauth.error", (event) => {
  const problem = document.querySelector("[data-key-problem]");
  if (!problem) return;
  event.preventDefault();
  problem.hidden = false;
  problem.textContent = window.PublicKeyCredential
    ? "The key was not read: it was cancelled, took too long, or is not the right one. Try again."
    : "This browser offers no security keys here. They need https, or localhost.";
});

// [data-copy-of] copies the text of the element that it names; it is there only where a script can do it.
function showCopyButtons() {
  for (const button of document.querySelectorAll("[data-copy-of][hidden]")) button.hidden = false;
}
addEventListener("DOMContentLoaded", showCopyButtons);
document.addEventListener("htmx:afterSwap", showCopyButtons);
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy-of]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copyOf);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    button.textContent = "Selected: copy it with the keyboard";
  }
});

// A form with data-confirm="dialog-id" asks in that dialog first.
document.addEventListener("submit", (event) => {
  const form = event.target;
  const dialog = form.dataset.confirm && document.getElementById(form.dataset.confirm);
  if (!dialog || form.dataset.confirmed) return;
  event.preventDefault();
  dialog.returnValue = "";
  dialog.showModal();
  dialog.addEventListener(
    "close",
    () => {
      if (dialog.returnValue !== "yes") return;
      form.dataset.confirmed = "yes";
      form.requestSubmit(event.submitter?.form === form ? event.submitter : null); // a live part may have replaced it
      delete form.dataset.confirmed;
    },
    { once: true },
  );
});

// Leaving a page with unsaved typing asks first. The editor takes data-unsaved away when it has saved by itself.
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-guard]");
  if (form) form.dataset.unsaved = "yes";
});
document.addEventListener("submit", (event) => {
  if (event.target.matches("form[data-guard]") && !event.defaultPrevented) delete event.target.dataset.unsaved;
});
addEventListener("beforeunload", (event) => {
  if (document.querySelector("form[data-guard][data-unsaved]")) event.preventDefault();
});

// Whoever signs out leaves no text behind in this browser.
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-sign-out]")) return;
  const words = "This browser keeps text of yours that could not be saved. Signing out removes it. Sign out?";
  if (isAnythingKept() && !confirm(words)) {
    event.preventDefault();
    return;
  }
  document.documentElement.dataset.signingOut = "yes";
  signOut();
});
onSignOutElsewhere(() => {
  document.documentElement.dataset.signingOut = "yes";
  forgetAll();
});

// The textareas wait hidden for their editor (editor.css); when its script did not come, they are shown.
addEventListener("load", () => {
  const waiting = document.querySelector("textarea[data-editor]:not([hidden])");
  if (waiting) document.documentElement.classList.add("no-editor");
});

// Tick all; say how many are ticked; keep ticks and focus when live rows are replaced.
function countTicked() {
  const boxes = [...document.querySelectorAll("input[data-row]")];
  if (!boxes.length) return; // too many for boxes: the page has said how many
  for (const output of document.querySelectorAll("[data-ticked]")) {
    const ticked = boxes.filter((box) => box.checked).length;
    output.textContent = `${ticked} of ${boxes.length} instances`;
    const all = document.querySelector("input[data-all]");
    if (all) {
      all.checked = ticked > 0 && ticked === boxes.length;
      all.indeterminate = ticked > 0 && ticked < boxes.length;
    }
  }
}
document.addEventListener("change", (event) => {
  if (event.target.matches("input[data-all]")) {
    for (const box of (event.target.closest("form") ?? document).querySelectorAll("input[data-row]")) box.checked = event.target.checked;
  }
  countTicked();
});
let kept = null;
document.addEventListener("htmx:beforeSwap", () => {
  kept = {
    ticked: new Set([...document.querySelectorAll("input[data-row]")].filter((b) => b.checked).map((b) => b.value)),
    focus: document.activeElement?.id,
  };
});
document.addEventListener("htmx:afterSwap", () => {
  if (!kept) return;
  for (const box of document.querySelectorAll("input[data-row]")) box.checked = kept.ticked.has(box.value);
  if (kept.focus && document.activeElement === document.body) document.getElementById(kept.focus)?.focus();
  kept = null;
  countTicked();
  refreshTimes();
});

// Tabs: [role=tab][aria-controls], arrow keys move; the address remembers which.
function select(tab) {
  for (const other of tab.closest("[role=tablist]").querySelectorAll("[role=tab]")) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
  }
  history.replaceState(null, "", `#${tab.dataset.name}`);
}
for (const list of document.querySelectorAll("[role=tablist]")) {
  const tabs = [...list.querySelectorAll("[role=tab]")];
  list.hidden = false;
  list.addEventListener("click", (event) => event.target.closest("[role=tab]") && select(event.target.closest("[role=tab]")));
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
    select(next);
    next.focus();
  });
  select(tabs.find((tab) => tab.dataset.name === location.hash.slice(1)) ?? tabs.find((tab) => tab.dataset.preferred) ?? tabs[0]);
}

refreshTimes();
countTicked();
forgetOld();
