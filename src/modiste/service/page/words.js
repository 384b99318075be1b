// Figures, dates and names as people read them.

const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
const SHORT_DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const MONTH = new Intl.DateTimeFormat("en-GB", { month: "long", year: "numeric", timeZone: "UTC" });
const COUNT = new Intl.NumberFormat("en-GB");

const MS_OF_DAY = 86_400_000;

const at = (iso) => new Date(`${iso}T00:00:00Z`);

/** "2020-09-23" as "23 September 2020". */
export const day = (iso) => DAY.format(at(iso));

/** "2020-09-23" as "23 Sept". */
export const shortDay = (iso) => SHORT_DAY.format(at(iso));

/** "2020-09-23" as "September 2020". */
export const month = (iso) => MONTH.format(at(iso));

/** Days from one date to another. */
export const daysBetween = (from, to) => Math.round((at(to) - at(from)) / MS_OF_DAY);

/** A date some days later. */
export const later = (iso, days) =>
  new Date(at(iso).getTime() + days * MS_OF_DAY).toISOString().slice(0, 10);

export const count = (number) => COUNT.format(number);

/** "1 article", "2 articles". */
export const counted = (number, thing) => `${count(number)} ${thing}${number === 1 ? "" : "s"}`;

/** A price in the shop's unit, which may be tiny. */
export const price = (value) => Number(value.toPrecision(3)).toString();

export const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

export const milliseconds = (ms) => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;

/** What an article is called: its name, or its id. */
export const nameOf = (article) => article.name || article.article_id;

/** A long id, its beginning and end. */
export const shortId = (id) => (id.length > 20 ? `${id.slice(0, 8)}…${id.slice(-4)}` : id);

/** A column of the articles' table in words. */
export const columnName = (column) =>
  column.replace(/_name$/, "").replaceAll("_", " ");

/** A text with its first letter in capitals. */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const MODELS = {
  sasrec: "SASRec", gnn: "GNN", combined: "both networks", lightgbm: "LightGBM",
  lightgbm_known: "LightGBM of all who bought before", tabnet: "TabNet",
  logistic: "logistic regression", co_visitation: "co-visitation",
  blend_of_candidates: "blend of all candidates",
};

/** A model's name in words. */
export const modelName = (name) => MODELS[name] ?? name.replaceAll("_", " ");
