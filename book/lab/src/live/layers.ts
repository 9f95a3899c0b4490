/** The layers of the package's networks, each on one sample: maps (channels, height, width), or a vector (n, 1, 1). */

import type { Tensor } from "./safetensors.ts";

export interface Maps {
  channels: number;
  height: number;
  width: number;
  values: Float32Array;
}

export type Layer = (x: Maps) => Maps;

export const maps = (
  channels: number,
  height: number,
  width: number,
  values?: Float32Array,
): Maps => ({
  channels,
  height,
  width,
  values: values ?? new Float32Array(channels * height * width),
});
export const vector = (values: Float32Array): Maps => maps(values.length, 1, 1, values);

/** y = W x + b */
export function linear({ shape: [outputs, inputs], values: w }: Tensor, bias: Tensor): Layer {
  return (x) => {
    const made = new Float32Array(outputs);
    for (let i = 0, at = 0; i < outputs; i++) {
      let sum = bias.values[i];
      for (let j = 0; j < inputs; j++, at++) sum += w[at] * x.values[j];
      made[i] = sum;
    }
    return vector(made);
  };
}

export const unflatten =
  (channels: number, height: number, width: number): Layer =>
  (x) =>
    maps(channels, height, width, x.values);
export const flatten: Layer = (x) => vector(x.values);

/** For each place of the kernel: from which to which index of the input does it meet the output? */
function meets(place: number, stride: number, small: number, large: number): [number, number] {
  const first = Math.max(0, Math.ceil(-place / stride));
  return [first, Math.min(small, Math.floor((large - 1 - place) / stride) + 1)];
}

/** A convolution, w (outputs, inputs, k, k): out[p] = b + sum over places q of w[q] x[stride p + q - padding]. */
export function convolution(
  { shape, values: w }: Tensor,
  bias: Tensor,
  stride: number,
  padding: number,
): Layer {
  const [outputs, inputs, tall, wide] = shape;
  return (x) => {
    const height = Math.floor((x.height + 2 * padding - tall) / stride) + 1;
    const width = Math.floor((x.width + 2 * padding - wide) / stride) + 1;
    const made = maps(outputs, height, width);
    for (let o = 0, at = 0; o < outputs; o++) {
      const out = made.values
        .subarray(o * height * width, (o + 1) * height * width)
        .fill(bias.values[o]);
      for (let i = 0; i < inputs; i++) {
        const map = x.values.subarray(i * x.height * x.width, (i + 1) * x.height * x.width);
        for (let dy = -padding; dy < tall - padding; dy++) {
          const [top, bottom] = meets(dy, stride, height, x.height);
          for (let dx = -padding; dx < wide - padding; dx++, at++) {
            const [left, right] = meets(dx, stride, width, x.width);
            const weight = w[at];
            for (let r = top; r < bottom; r++) {
              let from = (stride * r + dy) * x.width + stride * left + dx;
              for (let c = r * width + left; c < r * width + right; c++, from += stride) {
                out[c] += weight * map[from];
              }
            }
          }
        }
      }
    }
    return made;
  };
}

/** A transposed convolution, w (inputs, outputs, k, k): each x[p] adds w[q] x[p] at stride p + q - padding. */
export function transposed(
  { shape, values: w }: Tensor,
  bias: Tensor,
  stride: number,
  padding: number,
): Layer {
  const [inputs, outputs, tall, wide] = shape;
  return (x) => {
    const height = (x.height - 1) * stride - 2 * padding + tall;
    const width = (x.width - 1) * stride - 2 * padding + wide;
    const made = maps(outputs, height, width);
    for (let o = 0; o < outputs; o++) {
      made.values.fill(bias.values[o], o * height * width, (o + 1) * height * width);
    }
    for (let i = 0, at = 0; i < inputs; i++) {
      const map = x.values.subarray(i * x.height * x.width, (i + 1) * x.height * x.width);
      for (let o = 0; o < outputs; o++) {
        const out = made.values.subarray(o * height * width, (o + 1) * height * width);
        for (let dy = -padding; dy < tall - padding; dy++) {
          const [top, bottom] = meets(dy, stride, x.height, height);
          for (let dx = -padding; dx < wide - padding; dx++, at++) {
            const [left, right] = meets(dx, stride, x.width, width);
            const weight = w[at];
            for (let r = top; r < bottom; r++) {
              let to = (stride * r + dy) * width + stride * left + dx;
              for (let c = r * x.width + left; c < r * x.width + right; c++, to += stride) {
                out[to] += weight * map[c];
              }
            }
          }
        }
      }
    }
    return made;
  };
}

/** Each pixel a block of height / x.height by width / x.width. */
export const enlarged = (x: Maps, height: number, width: number): Maps => {
  const made = maps(x.channels, height, width);
  const [tall, wide] = [height / x.height, width / x.width];
  for (let i = 0; i < made.values.length; i++) {
    const column = Math.floor((i % width) / wide);
    const line = Math.floor(i / width); // of all channels, one below the other
    made.values[i] = x.values[Math.floor(line / tall) * x.width + column];
  }
  return made;
};
export const upsample: Layer = (x) => enlarged(x, 2 * x.height, 2 * x.width);

/** Four channels become blocks of 2 x 2. */
export const pixelShuffle: Layer = (x) => {
  const made = maps(x.channels / 4, 2 * x.height, 2 * x.width);
  for (let i = 0; i < made.values.length; i++) {
    const column = i % made.width;
    const row = Math.floor(i / made.width) % made.height;
    const from = 4 * Math.floor(i / (made.width * made.height)) + 2 * (row % 2) + (column % 2);
    made.values[i] = x.values[(from * x.height + (row >> 1)) * x.width + (column >> 1)];
  }
  return made;
};

/** BatchNorm in evaluation: by the statistics of the training. */
export function batchNorm(weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor): Layer {
  const scale = weight.values.map((w, i) => w / Math.sqrt(variance.values[i] + 1e-5));
  const shift = bias.values.map((b, i) => b - mean.values[i] * scale[i]);
  return (x) => {
    const size = x.height * x.width;
    return {
      ...x,
      values: x.values.map((v, i) => v * scale[(i / size) | 0] + shift[(i / size) | 0]),
    };
  };
}

const each =
  (f: (v: number) => number): Layer =>
  (x) => ({ ...x, values: x.values.map(f) });
export const relu = each((v) => (v > 0 ? v : 0));
export const leakyRelu = each((v) => (v > 0 ? v : 0.2 * v));
export const tanh = each(Math.tanh);

export const chain =
  (layers: Layer[]): Layer =>
  (x) =>
    layers.reduce((made, layer) => layer(made), x);

/** One behind the other, as channels. */
export function beside(x: Maps, more: Maps): Maps {
  const values = new Float32Array(x.values.length + more.values.length);
  values.set(x.values);
  values.set(more.values, x.values.length);
  return { ...x, channels: x.channels + more.channels, values };
}

/** What is left of the upper left corner. */
export const cropped = (x: Maps, height: number, width: number): Maps => {
  if (x.height === height && x.width === width) return x;
  const made = maps(x.channels, height, width);
  for (let line = 0; line < x.channels * height; line++) {
    const from = (Math.floor(line / height) * x.height + (line % height)) * x.width;
    made.values.set(x.values.subarray(from, from + width), line * width);
  }
  return made;
};
