// What the benchmark notes in a page: when the first picture is drawn, and when the grid
// can be used. It stops at the first picture, so that it costs no frame afterwards.
(() => {
  const noted = {};
  const pictures = new WeakSet();
  const make = window.createImageBitmap;
  window.createImageBitmap = async (source, ...more) => {
    const bitmap = await make.call(window, source, ...more);
    if (source instanceof Blob || pictures.has(source)) pictures.add(bitmap);
    return bitmap;
  };
  const own = CanvasRenderingContext2D.prototype;
  const draw = own.drawImage;
  const picture = new Promise((done) => {
    own.drawImage = function (image, ...more) {
      draw.call(this, image, ...more);
      if (!pictures.has(image) || !this.canvas.isConnected) return;
      noted.picture = performance.now();
      own.drawImage = draw;
      window.createImageBitmap = make;
      done();
    };
  });
  // Told of by changes of the page: to look in each frame would make frames to draw.
  const grid = new Promise((done) => {
    const look = () => {
      if (!document.querySelector("[role=grid][aria-rowcount]")) return;
      changes.disconnect();
      // The frame that shows it has been made, and the page is free again.
      requestAnimationFrame(() => setTimeout(() => {
        noted.grid = performance.now();
        done();
      }));
    };
    const changes = new MutationObserver(look);
    changes.observe(document, {subtree: true, childList: true, attributeFilter: ["aria-rowcount"]});
  });
  window.firstSight = Promise.all([picture, grid]).then(() => noted);
})();
