// A circuit's programs, bound to a state, data and numbers: what circuitdsl/runtime/engine.py is in Python.
//
// `made` is a module that circuitdsl/runtime/javascript.py prints: its `circuit` and its programs. Arrays are flat, in C
// order, of the type that `arrayOf(dtype)` gives; masks are null where every weight is present.

// How many examples are evaluated side by side.
const CHUNK = 256;

// The array type of a precision.
export function arrayOf(dtype) {
  return dtype === "float32" ? Float32Array : Float64Array;
}

// A number as a run of this precision holds it.
export function rounded(number, dtype) {
  return dtype === "float32" ? Math.fround(number) : number;
}

// The realised mean in-degree and out-degree of a synapse.
export function fansOf(synapse, mask) {
  if (mask === null) return [synapse.pre, synapse.post];
  const count = mask.reduce((sum, present) => sum + present, 0);
  return [count / synapse.post, count / synapse.pre];
}

// A circuit ready to run. Work space is allocated once and grows with the batch.
export class Engine {
  constructor(made) {
    this.made = made;
    this.circuit = made.circuit;
    this.work = new Map();
  }

  // Presents the examples `order` (an Int32Array of indices into the data) in batches of `batch`, the last one short,
  // and updates `state` in place. Noise is keyed by (seed, epoch, data-set index).
  train(state, data, order, { seed, epoch, batch }) {
    if (order.length === 0) return;
    batch = Math.min(batch, order.length);
    const program = batch === 1 ? this.made.train_online : this.made.train;
    this.call(program, { state, data, order, seed, epoch, batch, steps: Math.ceil(order.length / batch) });
  }

  // Runs the examples without learning: the loss (null if there is none), a mean for each probe, and for each name in
  // `watch` the values as they stood at the last tick, [examples, size]. The state is unchanged.
  evaluate(state, data, order, { seed, epoch, watch = [] }) {
    if (this.ticks(true) === 0) throw new Error(`\`${this.circuit.name}\` has no tick in evaluation`);
    const program = watch.length ? this.made.watch : this.made.evaluate;
    const sums = new Map();
    const watched = Object.fromEntries(watch.map((name) => [name, []]));
    for (let first = 0; first < order.length; first += CHUNK) {
      const count = Math.min(CHUNK, order.length - first);
      const bound = this.call(program, { state, data, order, seed, epoch, batch: CHUNK, first, count });
      for (const { name, role, key } of program.buffers) {
        if (role !== "result") continue;
        const sum = bound[name].subarray(0, count).reduce((a, b) => a + b, 0);
        sums.set(key, (sums.get(key) ?? 0) + sum);
      }
      for (const name of watch) watched[name].push(...this.watched(name, program, bound, state, data, order, first, count));
    }
    const mean = (key) => (sums.has(key) ? sums.get(key) / order.length : NaN);
    const probes = Array.from({ length: this.circuit.probes }, (_, i) => mean(`probe ${i}`));
    return { loss: this.loss(mean("loss")), probes, watched };
  }

  // The loss from the mean of what an evaluation program leaves; NaN if its phase has no tick.
  loss(mean) {
    const loss = this.circuit.loss;
    if (loss === null) return null;
    if (loss.when === "last") return mean;
    const phase = this.circuit.phases.find((p) => p.name === loss.phase);
    if (phase.train || phase.ticks === 0) return NaN;
    return loss.when === "over" ? mean / phase.ticks : mean;
  }

  // The ticks of an example.
  ticks(evaluation) {
    const phases = this.circuit.phases;
    if (phases.length === 0) return 1;
    return phases.filter((p) => !(evaluation && p.train)).reduce((sum, p) => sum + p.ticks, 0);
  }

  // ------------------------------------------------------------ binding

  // Calls a program, and gives its buffers by their names.
  call(program, given) {
    const scalars = {};
    for (const scalar of program.scalars) scalars[scalar.name] = this.scalar(scalar, given);
    const buffers = {};
    for (const buffer of program.buffers) buffers[buffer.name] = this.buffer(program, buffer, scalars, given);
    const numbers = program.scalars.filter((s) => s.taken).map((s) => scalars[s.name]);
    program.run(...numbers, ...program.buffers.map((b) => buffers[b.name]));
    return buffers;
  }

  scalar({ given: what, key }, given) {
    const circuit = this.circuit;
    switch (what) {
      case "param":
        return rounded(circuit.numbers[key], circuit.dtype);
      case "size":
        return circuit.values[key].size;
      case "fan_in":
      case "fan_out": {
        const [fanIn, fanOut] = fansOf(circuit.synapses[key], given.state.masks[key]);
        return rounded(what === "fan_in" ? fanIn : fanOut, circuit.dtype);
      }
      case "ticks":
        return circuit.phases.find((p) => p.name === key).ticks;
      case "capacity":
        return this.capacity(key, given);
      case "examples":
        return given.order.length;
      case "steps":
      case "first":
      case "count":
      case "seed":
      case "epoch":
        return given[what] ?? 0;
      default:
        throw new Error(`a page has no number for the ${what} of \`${key}\``);
    }
  }

  capacity(of, { batch, data }) {
    if (of === "batch") return batch;
    if (of === "tape") return this.ticks(true) + 1;
    const [name] = Object.keys(data);
    return name === undefined ? 0 : data[name].length / this.circuit.values[name].size;
  }

  buffer(program, { name, role, key, shape, dtype }, scalars, { state, data, order }) {
    const length = shape.reduce((n, extent) => n * (extent === "1" ? 1 : scalars[extent]), 1);
    const bound = this.bound(role, key, length, { state, data, order });
    if (bound === undefined) return this.room(program, name, role, length, dtype);
    if (bound.length !== length) throw new Error(`\`${key}\` has ${bound.length} numbers, not ${length}`);
    return bound;
  }

  // What a buffer stands for, undefined if it is work space.
  bound(role, key, length, { state, data, order }) {
    switch (role) {
      case "weight":
        return state.weights[key];
      case "mask":
        return state.masks[key] ?? new Uint8Array(length).fill(1);
      case "synapse state":
        return state.synapseStates[key];
      case "kept":
        return state.kept[key];
      case "coefficient":
        return state.coefficients[key];
      case "reset":
        return state.resets[key];
      case "data":
        return data[key];
      case "order":
        return order;
      case "value":
      case "row":
      case "work":
      case "result":
        return undefined;
      default:
        throw new Error(`a page has nothing for the ${role} of \`${key}\``);
    }
  }

  // Work space, zeros when it is new; kept from call to call, results excepted.
  room(program, name, role, length, dtype) {
    if (!this.work.has(program)) this.work.set(program, {});
    const held = this.work.get(program);
    if (held[name]?.length !== length) {
      const kind = { real: arrayOf(this.circuit.dtype), int: Int32Array, bool: Uint8Array }[dtype];
      held[name] = new kind(length);
    }
    return role === "result" ? held[name].fill(0) : held[name];
  }

  // ------------------------------------------------------------ watching

  // A value as it stood at the last tick, for some examples, one after the other.
  watched(name, program, bound, state, data, order, first, count) {
    const { kind, size } = this.circuit.values[name];
    const each = (row) => Array.from({ length: count }, (_, i) => row(order[first + i])).flatMap((part) => [...part]);
    switch (kind) {
      case "given":
        return each((example) => data[name].subarray(example * size, (example + 1) * size));
      case "one":
        return Array(count).fill(1);
      case "kept":
        return each(() => state.kept[name]);
      case "reset":
        return each(() => state.resets[name]);
      default: {
        const buffer = program.buffers.find((b) => b.role === "value" && b.key === name);
        return bound[buffer.name].subarray(0, count * size);
      }
    }
  }
}
