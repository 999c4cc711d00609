// Whole files in and out of the editor, all in the browser: open, drop, download, copy.

import { replaceText } from "./replace.js";

const MASK = /‹secret [0-9a-f]+(?:·\w+)?›/g;

for (const panel of document.querySelectorAll("[data-files]")) equip(panel);

function equip(panel) {
  const { files: kind, maxBytes, fileName } = panel.dataset;
  const textarea = panel.querySelector("textarea");
  const row = panel.querySelector("[data-file-actions]");
  const note = row.querySelector("[role=status]");
  const area = panel.querySelector(".editor");
  const text = () => new FormData(textarea.form).get(kind);
  const say = (words) => {
    note.textContent = words;
  };

  async function open(file) {
    const { problem, content } = await read(file, Number(maxBytes));
    if (problem) return say(problem);
    if (textarea.form.hasAttribute("data-unsaved") && !(await agreed(file.name))) return;
    replaceText(textarea, content);
    say(`${file.name} is in the editor; undo brings the former text back.${misplaced(content)}`);
  }

  function misplaced(content) {
    const other = kindOf(content);
    return other && other !== kind ? ` These look like ${other}: they belong on the other tab.` : "";
  }

  const actions = {
    open() {
      const input = Object.assign(document.createElement("input"), { type: "file", accept: ".json,application/json" });
      input.addEventListener("change", () => input.files[0] && open(input.files[0]));
      input.click();
    },
    download() {
      const url = URL.createObjectURL(new Blob([text()], { type: "application/json" }));
      Object.assign(document.createElement("a"), { href: url, download: fileName }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
      say(`Downloaded as ${fileName}.${masks(text())}`);
    },
    async copy() {
      try {
        await navigator.clipboard.writeText(text());
        say(`Copied.${masks(text())}`);
      } catch {
        say("This browser does not let the page copy. Select all in the editor and copy it there.");
      }
    },
  };
  row.hidden = false;
  row.addEventListener("click", (event) => actions[event.target.closest("button")?.dataset.action]?.());

  area.addEventListener("keydown", () => say("")); // it speaks of a text that is being changed

  // In the capture phase: the editor would put a dropped file where the pointer is.
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  area.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    area.classList.add("dropping");
  }, true);
  area.addEventListener("dragleave", () => area.classList.remove("dropping"));
  area.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    event.stopPropagation();
    area.classList.remove("dropping");
    const files = [...event.dataTransfer.files];
    if (files.length === 1) open(files[0]);
    else say("Drop one file at a time.");
  }, true);
  area.addEventListener("paste", () => setTimeout(() => say(misplaced(text()).trim())), true);
}

// { content } or { problem: words }
async function read(file, most) {
  if (file.size > most) {
    return { problem: `${file.name} has ${size(file.size)}; a document may have ${size(most)}.` };
  }
  let bytes;
  try {
    bytes = await file.arrayBuffer();
  } catch {
    return { problem: `${file.name} cannot be read.` };
  }
  try {
    return { content: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch {
    return { problem: `${file.name} is not text in UTF-8. Save it as UTF-8, then open it again.` };
  }
}

function agreed(file) {
  const dialog = document.getElementById("confirm-replace");
  dialog.querySelector("[data-words]").textContent = file;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

// "webhooks", "connections", or null when most entries look like neither.
function kindOf(text) {
  let entries;
  try {
    entries = Object.values(JSON.parse(text)).filter((entry) => entry && typeof entry === "object");
  } catch {
    return null;
  }
  const most = (test) => entries.filter(test).length * 2 > entries.length;
  if (most((entry) => "module" in entry)) return "webhooks";
  return most((entry) => "type" in entry) ? "connections" : null;
}

function masks(text) {
  const number = text.match(MASK)?.length ?? 0;
  return number ? ` It has marks in place of ${number} ${number === 1 ? "secret" : "secrets"}; a service cannot use it.` : "";
}

function size(bytes) {
  return bytes < 1024 * 1024 ? `${Math.ceil(bytes / 1024)} KB` : `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}
