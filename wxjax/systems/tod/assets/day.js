"use strict";
// The day in the browser: a picture is the sum over r of a_r(hour) B_r, with B in 8 bits.
const day = JSON.parse(document.getElementById("day").textContent);
const canvas = document.querySelector("canvas");
const range = document.querySelector("input[type=range]");
const clock = document.querySelector("output");
const play = document.querySelector("button");
const context = canvas.getContext("2d");
const image = context.createImageData(day.width, day.height);
const size = day.width * day.height;
let codes = null;

async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Int8Array(await new Response(stream).arrayBuffer());
}

// Coefficients at an hour: linear between stored hours, round the clock.
function curve(hour) {
  const { hours, coefficients, period } = day;
  let right = hours.findIndex((h) => h > hour);
  const left = (right < 0 ? hours.length : right) - 1;
  if (right < 0) right = 0;
  const first = left < 0 ? hours.length - 1 : left;
  const gap = (hours[right] - hours[first] + period) % period || period;
  const part = ((hour - hours[first] + period) % period) / gap;
  return coefficients[first].map((a, r) => a + part * (coefficients[right][r] - a));
}

function paint(hour) {
  const weights = curve(hour).map((a, r) => day.scales[r].map((scale) => 255 * a * scale));
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < size; i++) {
      let value = 0;
      for (let r = 0; r < weights.length; r++) value += weights[r][c] * codes[(r * 3 + c) * size + i];
      image.data[4 * i + c] = value; // clamped and rounded by its type
    }
  }
  for (let i = 3; i < image.data.length; i += 4) image.data[i] = 255;
  context.putImageData(image, 0, 0);
  const minutes = Math.round(hour * 60) % 1440;
  const two = (n) => String(n).padStart(2, "0");
  clock.textContent = day.period === 24
    ? `${two(Math.floor(minutes / 60))}:${two(minutes % 60)}` : `day ${Math.floor(hour) + 1}`;
}

let running = 0;
function step(now) {
  if (!running) return;
  range.value = (Number(range.value) + (day.period * (now - running)) / 12000) % day.period;
  running = now;
  paint(Number(range.value));
  requestAnimationFrame(step);
}
play.addEventListener("click", () => {
  running = running ? 0 : performance.now();
  play.textContent = running ? "Pause" : "Play";
  if (running) requestAnimationFrame(step);
});
range.addEventListener("input", () => paint(Number(range.value)));
unpack(day.codes).then((found) => {
  codes = found;
  paint(Number(range.value));
  document.documentElement.dataset.ready = "yes";
});
