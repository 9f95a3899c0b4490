/** Marching squares: the line at a level of a field that is known at the middles of size × size cells. */

/** Segments x1, y1, x2, y2, … in units of cells, the first cell's middle at (0.5, 0.5). */
export function contour(field: Float32Array, size: number, level: number): number[] {
  const segments: number[] = [];
  for (let row = 0; row + 1 < size; row++)
    for (let column = 0; column + 1 < size; column++) {
      const at = row * size + column;
      const corners = [field[at], field[at + 1], field[at + size + 1], field[at + size]];
      const cuts: number[] = [];
      for (let edge = 0; edge < 4; edge++) {
        const [a, b] = [corners[edge] - level, corners[(edge + 1) % 4] - level];
        if (a < 0 === b < 0) continue;
        const t = a / (a - b);
        const [x, y] = [
          [t, 0],
          [1, t],
          [1 - t, 1],
          [0, 1 - t],
        ][edge];
        cuts.push(column + 0.5 + x, row + 0.5 + y);
      }
      segments.push(...cuts); // two cuts, or four at a saddle, taken in their order
    }
  return segments;
}
