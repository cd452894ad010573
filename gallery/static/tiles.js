// What a cell without a picture looks like, and the marks on a picture.
//
// States differ by shape and, where there is room, by word, never by colour alone.

import {T} from "./texts.js";

// Draw w x h pixels once, as a bitmap to copy from.
export function bitmapOfTile(w, h, draw) {
  const canvas = new OffscreenCanvas(Math.max(1, w), Math.max(1, h));
  draw(canvas.getContext("2d"), w, h);
  return canvas.transferToImageBitmap();
}

// Each draws its sign around (0, 0), within a radius of 1.
const STATE_SIGNS = {
  pending(pen) {
    for (const x of [-0.6, 0, 0.6]) {
      pen.beginPath();
      pen.arc(x, 0, 0.16, 0, 7);
      pen.fill();
    }
  },
  leased(pen) {
    pen.beginPath();
    pen.moveTo(-0.5, -0.7);
    pen.lineTo(0.75, 0);
    pen.lineTo(-0.5, 0.7);
    pen.closePath();
    pen.fill();
  },
  failed(pen) {
    pen.beginPath();
    pen.moveTo(-0.65, -0.65);
    pen.lineTo(0.65, 0.65);
    pen.moveTo(0.65, -0.65);
    pen.lineTo(-0.65, 0.65);
    pen.stroke();
  },
  quarantined(pen) {
    pen.beginPath();
    pen.arc(0, 0, 0.75, 0, 7);
    pen.moveTo(-0.53, -0.53);
    pen.lineTo(0.53, 0.53);
    pen.stroke();
  },
  evicted(pen) {
    pen.beginPath();
    pen.moveTo(-0.75, 0);
    pen.lineTo(0.75, 0);
    pen.stroke();
  },
  missing(pen) {
    pen.strokeRect(-0.8, -0.65, 1.6, 1.3);
    pen.beginPath();
    pen.moveTo(-0.8, 0.5);
    pen.lineTo(-0.2, -0.1);
    pen.lineTo(0.1, 0.2);
    pen.moveTo(0.9, -0.75);
    pen.lineTo(-0.9, 0.75);
    pen.stroke();
  },
  hole() {},
  loading() {},
};

const SIGN_COLOURS = {leased: "accent", failed: "bad", quarantined: "bad", missing: "warn"};
const DASHED = {pending: [4, 4], hole: [1, 5]};

export function drawStateTile(pen, state, w, h, {colours, font, layout}) {
  const {ratio} = layout;
  pen.fillStyle = state === "hole" ? colours.bg : colours.panel;
  pen.fillRect(0, 0, w, h);
  if (state !== "loading") {
    pen.lineWidth = Math.max(1, Math.round(ratio));
    pen.strokeStyle = colours.line;
    pen.setLineDash((DASHED[state] || []).map((length) => length * ratio));
    pen.strokeRect(pen.lineWidth / 2, pen.lineWidth / 2, w - pen.lineWidth, h - pen.lineWidth);
    pen.setLineDash([]);
  }
  const word = T.grid.stateWords[state];
  const hasWord = word && Math.min(w, h) >= 56 * ratio;
  drawSign(pen, state, w, hasWord ? h - 14 * ratio : h, colours);
  if (hasWord) {
    pen.font = `${Math.round(11 * ratio)}px ${font}`;
    pen.fillStyle = colours.muted;
    pen.textAlign = "center";
    pen.fillText(word, w / 2, h / 2 + Math.min(w, h) * 0.14 + 12 * ratio, w - 4 * ratio);
  }
}

function drawSign(pen, state, w, h, colours) {
  const radius = Math.min(Math.min(w, h) * 0.18, 22);
  const colour = colours[SIGN_COLOURS[state] || "muted"];
  pen.save();
  pen.translate(w / 2, h / 2);
  pen.scale(radius, radius);
  pen.fillStyle = colour;
  pen.strokeStyle = colour;
  pen.lineWidth = 0.22;
  STATE_SIGNS[state]?.(pen);
  pen.restore();
}

// Draw {count, shown, stars, verdict}: how many images a cell has, and their rating.
export function drawMarks(pen, marks, w, h, {colours, font, layout}) {
  const size = Math.round(11 * layout.ratio);
  pen.font = `600 ${size}px ${font}`;
  pen.textBaseline = "middle";
  const text = marks.shown ? `${marks.shown}/${marks.count}` : `×${marks.count}`;
  if (marks.count > 1) drawPill(pen, text, w, 0, size, colours, "right");
  const verdict = ["", "✓", "✕"][marks.verdict];
  const stars = w < 48 * layout.ratio ? `${marks.stars}★` : "★".repeat(marks.stars);
  const rating = [marks.stars ? stars : "", verdict].filter(Boolean).join(" ");
  if (rating) drawPill(pen, rating, 0, h - size * 1.6, size, colours, "left");
  if (marks.verdict === 2) veil(pen, w, h, colours);
}

function drawPill(pen, text, x, y, size, colours, side) {
  const wide = pen.measureText(text).width + size * 0.8;
  const left = side === "right" ? x - wide : x;
  pen.fillStyle = colours.panel;
  pen.fillRect(left, y, wide, size * 1.6);
  pen.fillStyle = colours.text;
  pen.fillText(text, left + size * 0.4, y + size * 0.85);
}

// Rejected pictures are struck through, so that they stand back without being hidden.
function veil(pen, w, h, colours) {
  pen.strokeStyle = colours.bad;
  pen.lineWidth = Math.max(2, w / 40);
  pen.beginPath();
  pen.moveTo(w, 0);
  pen.lineTo(0, h);
  pen.stroke();
}
