// Builds static/dist: the editor bundle, the minified sheet and the small scripts. Run by console/embedded/assets.py.
import { build } from "esbuild";

const options = { bundle: true, minify: true, target: ["chrome123", "firefox121", "safari17.5"], logLevel: "warning" };

await Promise.all([
  build({ ...options, entryPoints: ["src/editor.js"], outfile: "../static/dist/editor.js", format: "iife" }),
  build({ ...options, entryPoints: ["../static/js/console.js"], outfile: "../static/dist/console.js", format: "iife" }),
  build({ ...options, entryPoints: ["../static/js/change_edit.js"], outfile: "../static/dist/change_edit.js", format: "iife" }),
  build({ ...options, entryPoints: ["../static/css/console.css"], outfile: "../static/dist/console.css" }),
]);
