// What is known of the documents: the JSON Schema that the server made from its tables, asked by path.

const loading = new Map();

// One promise for each address: both editors of a page, and the form, share it. Null when it cannot be had: then
// the editor is an editor for JSON without knowledge.
export function load(address) {
  if (!address) return Promise.resolve(null);
  if (!loading.has(address)) {
    const asked = fetch(address, { credentials: "same-origin" });
    loading.set(
      address,
      asked
        .then((answer) => (answer.ok ? answer.json() : null))
        .then((json) => json && new Schema(json))
        .catch(() => null),
    );
  }
  return loading.get(address);
}

export class Schema {
  constructor(json) {
    this.json = json;
    this.definitions = json.$defs;
    this.kind = "webhook" in json.$defs ? "webhooks" : "connections";
  }

  // With every $ref followed; words beside a $ref win.
  resolve(schema) {
    let found = schema;
    while (found?.$ref) {
      const { $ref, ...beside } = found;
      found = { ...this.definitions[$ref.slice("#/$defs/".length)], ...beside };
    }
    return found ?? null;
  }

  module(name) {
    return this.definitions[`module-config.${name}`] ?? null;
  }

  // The schema of the value at a path. `read` gives the document's value at another path, as a string: which keys
  // there are depends on the module, or on the type of a connection.
  at(path, read) {
    let here = this.json;
    for (const [depth, step] of path.entries()) {
      here = this.step(here, step);
      if (!here) return null;
      if (depth === 0 && this.kind === "connections") {
        here = this.resolve(this.definitions[`connection.${read([path[0], "type"])}`] ?? here);
      } else if (step === "module-config" && (depth === 1 || (depth === 3 && path[1] === "chain"))) {
        here = { ...here, properties: {}, ...this.module(read([...path.slice(0, depth), "module"])) };
      }
    }
    return here;
  }

  // The keys that the object at a path must have, as far as its module or type says so.
  required(path, read) {
    const about = this.at(path, read);
    const marked = Object.entries(about?.properties ?? {}).filter(([, inside]) => this.resolve(inside)?.["x-required"]);
    const found = new Set([...(about?.required ?? []), ...marked.map(([key]) => key)]);
    if (this.kind !== "webhooks" || path.length !== 1) return found;
    const module = this.module(read([path[0], "module"]));
    if (module?.["x-connection-required"]) found.add("connection");
    if (Object.values(module?.properties ?? {}).some((inside) => inside["x-required"])) found.add("module-config");
    if (module?.title === "redis_publish") found.add("redis");
    return found;
  }

  step(schema, step) {
    if (typeof step === "number") return this.resolve(schema.items?.else ?? schema.items);
    const inside = schema.properties?.[step] ?? schema.additionalProperties;
    return typeof inside === "object" ? this.resolve(inside) : null;
  }
}

// The values that a schema names, where it names any.
export function choices(schema) {
  const inside = schema?.anyOf?.find((way) => way.enum)?.enum ?? schema?.enum ?? schema?.examples ?? [];
  return inside.filter((choice) => choice !== null);
}

export function types(schema) {
  if (!schema) return [];
  if (schema.type) return [schema.type].flat().filter((type) => type !== "null");
  return choices(schema).length ? ["string"] : [];
}

export const secretMark = (text) => /^‹secret [0-9a-f]+(?:·\w+)?›$/.test(text);
