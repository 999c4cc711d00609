// Puts a whole text into a document's editor, so that undo brings the former one back. An editor in front of the
// textarea takes `console:replace` and cancels it; a bare textarea is typed into.
export function replaceText(textarea, text) {
  const event = new CustomEvent("console:replace", { cancelable: true, detail: { text } });
  if (!textarea.dispatchEvent(event)) return;
  textarea.focus();
  textarea.select();
  if (document.execCommand("insertText", false, text)) return;
  textarea.value = text;
  textarea.dispatchEvent(new Event("input", { bubbles: true }));
}
