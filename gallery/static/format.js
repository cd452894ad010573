// Amounts and terms of queries as people read them.
import {T} from "./texts.js";

// Return a whole number with commas. Not by Intl, which a browser takes a while to start.
export function countText(number) {
  return String(number ?? 0).replace(/\B(?=(\d{3})+$)/g, ",");
}

// Return three significant digits: 0.0497, 3.8, 123.
export function amountText(number) {
  if (number === null || number === undefined) return "";
  return Number.isInteger(number) ? String(number) : String(Number(number.toPrecision(3)));
}

export function rateText(perSecond) {
  if (!perSecond) return "";
  return perSecond < 0.1 ? T.shell.perHour(amountText(perSecond * 3600)) : T.shell.perSecond(amountText(perSecond));
}

// Return 45 s, 12 min, 3 h 20 min, 2 d 4 h.
export function durationText(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 60) return `${amountText(Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const wholeHours = Math.round(minutes / 60);
  const days = `${Math.floor(wholeHours / 24)} d`;
  return wholeHours % 24 ? `${days} ${wholeHours % 24} h` : days;
}

export function bytesText(bytes) {
  if (bytes === null || bytes === undefined) return "";
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length - 1);
  return `${amountText(bytes / 1000 ** power)} ${units[power]}`;
}

// Return a point in time in the reader's zone, to the minute.
export function timeText(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.valueOf())) return String(iso ?? "");
  return at.toLocaleString("sv-SE", {dateStyle: "short", timeStyle: "short"});
}

// Return a term of a query; anything but a plain word is put in quotes.
export function termOf(column, value) {
  const text = String(value);
  const plain = /^[\p{L}\p{N}_.:/-]+$/u.test(text) && !text.startsWith("-") && !text.includes("..");
  return plain ? `${column}:${text}` : `${column}:"${text.replace(/[\\"]/g, "\\$&")}"`;
}

export function gridLink(...terms) {
  return `/grid?${new URLSearchParams({q: terms.filter(Boolean).join(" ")})}`;
}

// Return a value of a job as one line: mappings as their pairs.
export function valueText(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "boolean") return value ? T.shell.yes : T.shell.no;
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
  if (Array.isArray(value)) return value.map(valueText).join(", ");
  if (typeof value === "object") {
    const pairs = Object.entries(value).map(([name, one]) => `${name}: ${valueText(one)}`);
    return pairs.length ? pairs.join(", ") : "–";
  }
  return String(value);
}
