// The change editor around the two texts; the text fields themselves are assets/src/editor.js.
import "./drafts.js";
import "./files.js";
