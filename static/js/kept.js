// Typed text that the console does not have yet, kept in this browser until it does. Documents hold secrets, so a copy
// lives as briefly as it can: it goes when a save arrives, at sign-out, and after three days.

const PREFIX = "draft:";
const LONGEST = 3 * 86400 * 1000;

// copy: { at: milliseconds, seen: stamp, sent: whether a save was under way, fields: name → text, carried }. False: no room.
export function keep(name, copy) {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(copy));
    return true;
  } catch {
    forget(name);
    return false;
  }
}

export function forget(name) {
  try {
    localStorage.removeItem(PREFIX + name);
  } catch {
    // this browser keeps nothing
  }
}

// The copies whose name begins so, as { name, copy }, newest first.
export function keptUnder(start) {
  return names()
    .filter((name) => name.startsWith(start))
    .map((name) => ({ name, copy: read(name) }))
    .sort((one, other) => other.copy.at - one.copy.at);
}

export const isAnythingKept = () => names().length > 0;

export function forgetAll() {
  for (const name of names()) forget(name);
}

const SIGNED_OUT = "signed-out"; // when, for the other tabs of this browser

export function signOut() {
  forgetAll();
  try {
    localStorage.setItem(SIGNED_OUT, String(Date.now()));
  } catch {
    // this browser tells its tabs nothing
  }
}

// Another tab signs out: what is typed here goes with the session as well.
export function onSignOutElsewhere(act) {
  addEventListener("storage", (event) => event.key === SIGNED_OUT && event.newValue && act());
}

export function forgetOld() {
  for (const name of names()) {
    const copy = read(name);
    if (!copy || !(Date.now() - copy.at < LONGEST)) forget(name);
  }
}

function names() {
  try {
    return Object.keys(localStorage)
      .filter((key) => key.startsWith(PREFIX))
      .map((key) => key.slice(PREFIX.length));
  } catch {
    return [];
  }
}

function read(name) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + name));
  } catch {
    return null;
  }
}
