"use strict";
for (const figure of document.querySelectorAll("figure[data-compare]")) {
  const frame = figure.querySelector(".frame");
  const range = frame.querySelector("input");
  const [left, right] = ["left", "right"].map((side) => frame.querySelector(`.tag.${side}`));
  const images = [...frame.querySelectorAll("img")];
  const move = () => {
    frame.style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${Math.round(range.value)} % ${left.textContent}`);
  };
  const point = (event) => {
    const box = frame.getBoundingClientRect();
    const share = (100 * (event.clientX - box.left)) / box.width;
    range.value = Math.min(100, Math.max(0, share));
    move();
  };
  range.addEventListener("input", move);
  frame.addEventListener("pointerdown", (event) => {
    frame.setPointerCapture(event.pointerId);
    range.focus({ preventScroll: true, focusVisible: false });
    point(event);
  });
  frame.addEventListener("pointermove", (event) => {
    if (frame.hasPointerCapture(event.pointerId)) point(event);
  });
  for (const radio of figure.querySelectorAll(".choice input")) {
    radio.addEventListener("change", () => {
      const [over, under] = radio.value.split(" ");
      for (const image of images) {
        image.classList.toggle("over", image.dataset.kind === over);
        image.classList.toggle("under", image.dataset.kind === under);
      }
      const name = (kind) => images.find((image) => image.dataset.kind === kind).dataset.name;
      left.textContent = name(over);
      right.textContent = name(under);
      move();
    });
  }
  move();
}
