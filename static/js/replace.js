// Puts a whole text into a document's editor, so that undo brings the former one back. An editor in front of the
// textarea hides it and takes its new text at `console:replace`; a bare textarea is typed into.
export function replaceText(textarea, text) {
  if (textarea.hidden) {
    textarea.value = text;
    textarea.dispatchEvent(new Event("console:replace"));
    return;
  }
  textarea.focus();
  textarea.select();
  if (document.execCommand("insertText", false, text)) return;
  textarea.value = text;
  textarea.dispatchEvent(new Event("input", { bubbles: true }));
}
