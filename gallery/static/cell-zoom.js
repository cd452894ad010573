// Zoom in step: one zoom for the pictures of all cells. No DOM in this module.
//
// A zoom is {z, u, v}: how many times larger than fitted into its cell a picture is, and
// which point of it, in fractions of its sides, stands in the middle of the cell. So it
// means the same part of each picture, whatever their sizes.

export const NO_ZOOM = {z: 1, u: 0.5, v: 0.5};

const MOST_ZOOM = 64;

function clampNumber(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

// Where a picture lies in its box, in pixels from the box's corner: {x, y, w, h}.
export function placePicture(zoom, box, picture) {
  const scale = Math.min(box.w / picture.w, box.h / picture.h) * zoom.z;
  const w = Math.max(1, Math.round(picture.w * scale));
  const h = Math.max(1, Math.round(picture.h * scale));
  return {x: pictureOffset(zoom.u, box.w, w), y: pictureOffset(zoom.v, box.h, h), w, h};
}

function pictureOffset(centre, box, side) {
  if (side <= box) return Math.floor((box - side) / 2);
  return Math.round(clampNumber(box / 2 - centre * side, box - side, 0));
}

function pictureMiddle(centre, box, side) {
  if (side <= box) return 0.5;
  return clampNumber(centre, box / 2 / side, 1 - box / 2 / side);
}

// The zoom `factor` times nearer, with the picture's point under (x, y) kept there.
export function zoomAround(zoom, factor, point, box, picture) {
  const z = clampNumber(zoom.z * factor, 1, MOST_ZOOM);
  const now = placePicture(zoom, box, picture);
  const w = (now.w * z) / zoom.z;
  const h = (now.h * z) / zoom.z;
  const u = (point.x - now.x) / now.w + (box.w / 2 - point.x) / w;
  const v = (point.y - now.y) / now.h + (box.h / 2 - point.y) / h;
  return {z, u: pictureMiddle(u, box.w, w), v: pictureMiddle(v, box.h, h)};
}

// The zoom with its pictures moved by (dx, dy) pixels.
export function movePictures(zoom, dx, dy, box, picture) {
  const {w, h} = placePicture(zoom, box, picture);
  return {
    z: zoom.z,
    u: pictureMiddle(zoom.u - dx / w, box.w, w),
    v: pictureMiddle(zoom.v - dy / h, box.h, h),
  };
}

// The part of a placed picture that its box shows, in fractions of the picture.
export function shownPart(place, box) {
  const left = Math.max(0, -place.x);
  const top = Math.max(0, -place.y);
  const right = Math.min(place.w, box.w - place.x);
  const bottom = Math.min(place.h, box.h - place.y);
  return {
    x: left / place.w,
    y: top / place.h,
    w: (right - left) / place.w,
    h: (bottom - top) / place.h,
  };
}
