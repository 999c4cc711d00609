// The editor's form saves itself: soon after a pause in typing, now and then during it, and when the tab is left. What
// cannot be delivered stays on the page and in this browser (kept.js) until it can. A save that voids approvals or
// replaces another save is left to the person and their button.

import { forget, keep, keptUnder } from "./kept.js";
import { replaceText } from "./replace.js";

const PAUSE = 2000;
const LONGEST = 10_000; // of typing without a pause
const RETRY = 5000;
const OUTLIVES_PAGE = 60_000; // bytes; browsers refuse keepalive requests above 64 KiB

const form = document.querySelector("form[data-draft]");
const status = document.getElementById("draft-status");
const mine = `${form.dataset.person}:${form.dataset.change}:`;
const random = crypto.getRandomValues(new Uint32Array(2)).join("");
const name = form.dataset.copy.startsWith(mine) ? form.dataset.copy : mine + random; // of this page's copy

const loadsAnew = form.hasAttribute("data-secrets-shown"); // a save ends the showing
let saved = form.hasAttribute("data-unsaved") ? null : values(); // what the console has; null: not what is shown
const opened = form.elements.seen.value;
let seen = opened;
let waiting = form.dataset.state !== "draft"; // for the person to press Save; no request could go through before
let trouble = false; // the last save did not arrive
let typingSince = 0;
let timer = 0;
let sending = null;
let passing = false; // the form is posted as a page
let inFlight = null; // the values being sent
let resting = status.textContent || (saved ? "Saves by itself." : "Not saved."); // what is said when nothing is amiss

function values() {
  const { csrfmiddlewaretoken, seen, copy, ...rest } = Object.fromEntries(new FormData(form));
  return rest;
}

function same(one, other) {
  return Object.keys(one).every((field) => one[field] === other?.[field]);
}

// An editor that tells of typing only after a pause marks its textarea until then.
const isUnsaved = () => form.hasAttribute("data-unsaved") || form.querySelector("textarea[data-typed]") !== null;

function say(words) {
  if (status.textContent !== words) status.textContent = words;
}

const banners = Object.fromEntries(
  ["refused", "signed-out", "restore"].map((which) => [which, document.getElementById(`draft-${which}`)]),
);

function show(which, words) {
  banners[which].hidden = false;
  const place = banners[which].querySelector("[data-words]");
  if (place && place.textContent !== words) place.textContent = words;
}

const clock = (at) => new Date(at).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });

// --- when

form.addEventListener("input", () => {
  if (!isUnsaved() && !waiting) say("Not saved yet.");
  form.dataset.unsaved = "yes";
  delete document.documentElement.dataset.signingOut;
  typingSince ||= Date.now();
  const delay = Math.min(PAUSE, Math.max(0, typingSince + LONGEST - Date.now()));
  later(delay);
});

function later(delay) {
  clearTimeout(timer);
  timer = setTimeout(autosave, delay);
}

async function autosave() {
  clearTimeout(timer);
  typingSince = 0;
  if (!isUnsaved()) return;
  if (same(values(), saved)) {
    settle();
    return;
  }
  if (waiting) {
    keepHere();
    say("Not saved yet: press “Save draft”.");
    return;
  }
  if (sending) later(PAUSE);
  else await send(null);
}

// Some people never pause long enough for such an editor to tell.
setInterval(() => form.querySelector("textarea[data-typed]") && autosave(), LONGEST);
document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && autosave());
addEventListener("beforeunload", autosave);
addEventListener("pagehide", () => isUnsaved() && keepHere());
for (const back of ["focus", "online"]) addEventListener(back, () => trouble && autosave());
addEventListener("focus", refreshToken);

// The buttons save in the same way, so that a save which does not arrive leaves the page as it is.
form.addEventListener("submit", async (event) => {
  if (passing) return;
  event.preventDefault();
  clearTimeout(timer);
  await sending;
  if (event.submitter?.hasAttribute("formaction")) {
    await leave(event.submitter);
    return;
  }
  form.dataset.unsaved = "yes";
  if (!(await send(event.submitter))) return;
  const next = { review: form.dataset.review, variables: form.dataset.variables }[event.submitter?.name];
  if (next) location.assign(next);
  else if (loadsAnew) location.assign(form.action);
});

// A button that shows the form's page another way: what is typed is saved first, or carried over and kept here.
async function leave(submitter) {
  if (isUnsaved() && !waiting && !(await send(null)) && trouble) return;
  if (isUnsaved()) keepHere();
  const copy = isUnsaved() ? name : "none";
  form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "copy", value: copy }));
  passing = true;
  form.requestSubmit(submitter);
}

// --- how

// Whether it arrived. With a submitter it is the person's own save.
function send(submitter) {
  sending = deliver(submitter).finally(() => {
    sending = inFlight = null;
  });
  return sending;
}

async function deliver(submitter) {
  const sent = (inFlight = values());
  refreshToken();
  const body = submitter ? new FormData(form, submitter) : new FormData(form);
  body.set("person", form.dataset.person);
  if (loadsAnew && submitter?.name === "save") body.set("reload", "yes");
  let answer;
  try {
    answer = await fetch(form.dataset.draft, { method: "POST", body, redirect: "manual", keepalive: small(sent) });
  } catch {
    return failed("Not saved: the console does not answer. Trying again.");
  }
  if (answer.type === "opaqueredirect") return signedOut();
  if (answer.status === 403 || answer.status === 404) {
    return refuse("The console no longer lets you edit this change. Copy your text before you leave.");
  }
  let told = {};
  try {
    if (answer.headers.get("Content-Type") === "application/json") told = await answer.json();
  } catch {
    return failed("Not saved: the answer was cut off. Trying again.");
  }
  if (answer.status === 422) return refuse(told.refused);
  if (answer.status < 500 && !answer.ok) return refuse(`The console did not take this text (${answer.status}).`);
  if (!answer.ok) return failed(`Not saved: the console answered ${answer.status}. Trying again.`);

  saved = sent;
  seen = form.elements.seen.value = told.seen;
  resting = submitter && !loadsAnew ? told.words : `Saved at ${clock(told.seen)}.`;
  waiting = told.state !== "draft";
  trouble = false;
  banners.refused.hidden = banners["signed-out"].hidden = true;
  if (same(values(), saved)) settle();
  else later(PAUSE);
  return true;
}

function settle() {
  trouble = false;
  delete form.dataset.unsaved;
  forget(name);
  banners.refused.hidden = true;
  say(resting);
}

function failed(words) {
  trouble = true;
  inFlight = null;
  say(keepHere() ? `${words} Your text is kept in this browser.` : `${words} Leave this page open.`);
  later(RETRY);
  return false;
}

// The next typing tries again: it may be what makes the text acceptable.
function refuse(words) {
  trouble = false;
  inFlight = null;
  keepHere();
  say("Not saved.");
  show("refused", words);
  return false;
}

function signedOut() {
  trouble = true;
  inFlight = null;
  if (isUnsaved()) {
    keepHere();
    later(RETRY);
    say("Not saved: you are signed out.");
  }
  show("signed-out");
  return false;
}

function small(sent) {
  const text = Object.values(sent).join("\n");
  return new Blob([text]).size + text.split("\n").length < OUTLIVES_PAGE;
}

// Signing in, here or in another tab, changes the token; the cookie always has today's.
function token() {
  return document.cookie.match(/(?:^|;\s*)csrftoken=([^;]+)/)?.[1];
}

function refreshToken() {
  for (const field of document.querySelectorAll("[name=csrfmiddlewaretoken]")) field.value = token() ?? field.value;
}

document.addEventListener("htmx:configRequest", (event) => {
  if (token()) event.detail.headers["X-CSRFToken"] = token();
});

// htmx would follow the way to the sign-in page, and the text with it.
document.addEventListener("htmx:beforeOnLoad", (event) => {
  const { xhr } = event.detail;
  if (xhr.getResponseHeader("HX-Redirect")) {
    event.preventDefault();
    signedOut();
  } else if (xhr.status < 400 && !banners["signed-out"].hidden) {
    banners["signed-out"].hidden = true;
    autosave();
  }
});

// --- what a closed tab, a crash or an ended session left here

// Only what the console does not have. Texts with secrets shown are not for keeping, nor is anything after a sign-out.
function keepHere() {
  if (loadsAnew || document.documentElement.dataset.signingOut) return false;
  const now = values();
  const fields = {};
  for (const [field, value] of Object.entries(now)) {
    if (value !== saved?.[field]) fields[field] = value;
    if (fields[field] !== undefined && `${field}_base` in now) fields[`${field}_base`] = now[`${field}_base`];
  }
  if (!Object.keys(fields).length) return true;
  const sent = inFlight !== null && same(now, inFlight);
  return keep(name, { at: Date.now(), seen, sent, fields, carried: now.carried });
}

function offer() {
  const [kept] = keptUnder(mine).filter(({ name: other, copy }) => {
    if (other === name) return false;
    // A save that was under way when the tab closed has moved the stamp, if it arrived.
    const arrived = copy.sent && copy.seen !== opened && form.dataset.lastEditor === form.dataset.person;
    const needed = !arrived && !same(copy.fields, values());
    if (!needed) forget(other);
    return needed;
  });
  banners.restore.hidden = !kept;
  if (!kept) return;
  const { at, fields } = kept.copy;
  const shown = values();
  const sizes = Object.keys(fields)
    .filter((field) => document.querySelector(`textarea[data-editor][name="${field}"]`) && fields[field] !== shown[field])
    .map((field) => ` ${field}.json: ${count(fields[field])} characters typed, ${count(shown[field])} here.`);
  const since = kept.copy.seen === opened ? "" : ` The change was saved since, at ${clock(opened)}.`;
  const day = new Date(at).toDateString() === new Date().toDateString() ? "" : ` on ${new Date(at).toISOString().slice(0, 10)}`;
  show("restore", `Text typed at ${clock(at)}${day} was not saved.${since}${sizes.join("")}`);
  banners.restore.querySelector("[data-restore]").onclick = () => restore(kept);
  banners.restore.querySelector("[data-discard]").onclick = () => {
    forget(kept.name);
    offer();
  };
}

const count = (text) => text.length.toLocaleString("en");

function restore({ name: other, copy }) {
  for (const [field, value] of Object.entries(copy.fields)) {
    const element = form.elements[field];
    if (element?.matches("textarea")) replaceText(element, value);
    else if (element) element.value = value;
  }
  form.elements.carried.value += ` ${copy.carried ?? ""}`; // what its marks stand for
  form.dispatchEvent(new Event("input"));
  keepHere();
  forget(other);
  offer();
}

offer();
say(resting);
