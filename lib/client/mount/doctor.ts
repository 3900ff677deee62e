/**
 * Why a mount does not work, step by step in the order in which a mount goes (guide 05): the specification, the way to each
 * node, the management server, its configuration, every target, the mount itself.
 */
import type { TargetConfig } from '../../config/client-config.ts';
import { ManagementClient, readClientConfig } from '../../config/management-client.ts';
import { LockCallbacks } from '../../ldlm/lock-callbacks.ts';
import type { Endpoint } from '../../lnet/network.ts';
import { type Nid, parseNid } from '../../lnet/nid.ts';
import { PtlRpc } from '../../rpc/ptlrpc.ts';
import type { LustreError } from '../../runtime/errors.ts';
import { connectSession } from './connect.ts';
import { type MountSpec, parseMountSpec } from './mount-spec.ts';
import { chooseOwnNid } from './own-nid.ts';
import type { SessionOptions } from './session-options.ts';

/** One thing that was tried. */
export interface Finding {
  /** `ok`, `warning`: works, but not as it should; `failed`. */
  readonly result: 'ok' | 'warning' | 'failed';
  /** What was tried, and on what. */
  readonly step: string;
  /** What came of it, in plain words. */
  readonly text: string;
  /** What to do. */
  readonly hint?: string;
}

/** How long a node may take to answer a ping, milliseconds. */
const PING_MS = 5000;

/** Tries what a mount does, and tells of each step as it is done. Ends at the first that stops a mount; never rejects. */
export async function* diagnose(spec: string, options: SessionOptions): AsyncGenerator<Finding, void> {
  let parsed: MountSpec;
  try {
    parsed = parseMountSpec(spec);
  } catch (error) {
    yield failed('specification', error);
    return;
  }
  yield ok('specification', `file system '${parsed.fsname}', management at ${parsed.nids.join(', ')}`);
  const examination = await Examination.open(parsed, options).catch((error: unknown) => error as Error);
  if (examination instanceof Error) {
    yield failed('our own NID', examination);
    return;
  }
  let sound = false;
  try {
    sound = yield* examination.run();
  } finally {
    await examination.close();
  }
  if (sound) yield await wholeMount(spec, options);
}

async function wholeMount(spec: string, options: SessionOptions): Promise<Finding> {
  try {
    const session = await connectSession(spec, options);
    await session.close();
    return ok('mount', 'works');
  } catch (error) {
    return failed('mount', error);
  }
}

class Examination {
  readonly #spec: MountSpec;
  readonly #options: SessionOptions;
  readonly #endpoint: Endpoint;
  readonly #ptlrpc: PtlRpc;
  readonly #callbacks: LockCallbacks;
  readonly #mgc: ManagementClient;
  readonly #pinged = new Map<Nid, Finding>();

  static async open(spec: MountSpec, options: SessionOptions): Promise<Examination> {
    const { network, runtime, nid, port, nidMap } = options;
    const endpoint = await network.open({
      nid: nid === undefined ? chooseOwnNid(spec.nids[0]!, runtime) : parseNid(nid),
      accept: false,
      ...(port !== undefined && { port }),
      ...(nidMap !== undefined && { nidMap }),
    });
    return new Examination(spec, options, endpoint);
  }

  private constructor(spec: MountSpec, options: SessionOptions, endpoint: Endpoint) {
    const { runtime } = options;
    this.#spec = spec;
    this.#options = options;
    this.#endpoint = endpoint;
    this.#ptlrpc = new PtlRpc(endpoint, runtime);
    this.#callbacks = new LockCallbacks(this.#ptlrpc, runtime);
    const [ptlrpc, callbacks] = [this.#ptlrpc, this.#callbacks];
    this.#mgc = new ManagementClient({ runtime, ptlrpc, callbacks, nids: spec.nids });
  }

  async *run(): AsyncGenerator<Finding, boolean> {
    for (const nid of this.#spec.nids) yield await this.#reach(nid);
    if (!this.#spec.nids.some((nid) => this.#pinged.get(nid)?.result === 'ok')) return false;
    try {
      await this.#mgc.connect();
    } catch (error) {
      yield failed(
        'management server',
        error,
        'The node runs LNet but no management server: is the MGS started there, or is it on another node?',
      );
      return false;
    }
    yield ok('management server', `answers at ${this.#mgc.nid}`);
    return yield* this.#configuration();
  }

  async *#configuration(): AsyncGenerator<Finding, boolean> {
    const { runtime } = this.#options;
    let targets: readonly TargetConfig[];
    try {
      const { mdts, osts } = await readClientConfig(this.#mgc, this.#spec.fsname, { runtime });
      targets = [...mdts, ...osts];
      yield ok('configuration', `${mdts.length} MDT, ${osts.length} OST`);
      if (!mdts.some(({ active }) => active)) {
        yield {
          result: 'failed',
          step: 'configuration',
          text: 'names no active MDT: nothing can be mounted',
        };
        return false;
      }
    } catch (error) {
      yield failed('configuration', error);
      return false;
    }
    for (const target of targets) yield await this.#target(target);
    return true;
  }

  async #target({ name, nids, active }: TargetConfig): Promise<Finding> {
    const all = nids.flat();
    if (!active)
      return {
        result: 'warning',
        step: name,
        text: 'is switched off in the configuration (inactive): what it holds cannot be reached',
        hint: `On the management server: lctl conf_param ${name}.osc.active=1`,
      };
    if (all.length === 0)
      return {
        result: 'failed',
        step: name,
        text: 'has no NID that this client can use in the configuration',
      };
    let last: Finding | undefined;
    for (const nid of all) {
      last = await this.#reach(nid);
      if (last.result === 'ok') return ok(name, `can be reached at ${nid}`);
    }
    const hint = last?.hint === undefined ? {} : { hint: last.hint };
    return { result: 'failed', step: name, text: `at ${all.join(', ')}: ${last?.text}`, ...hint };
  }

  async #reach(nid: Nid): Promise<Finding> {
    const known = this.#pinged.get(nid);
    if (known !== undefined) return known;
    const finding = await this.#endpoint.ping(nid, PING_MS).then(
      ({ nids }) => ok(`node ${nid}`, `answers, as ${nids.join(', ')}`),
      (error: unknown) => failed(`node ${nid}`, error, wayTo((error as LustreError).code)),
    );
    this.#pinged.set(nid, finding);
    return finding;
  }

  async close(): Promise<void> {
    if (this.#mgc.import.state === 'FULL') await this.#mgc.disconnect().catch(() => undefined);
    await this.#callbacks.close();
    await this.#ptlrpc.close();
    await this.#endpoint.close();
  }
}

/** What a connection that fails so usually means. */
function wayTo(code: string): string | undefined {
  const hints: Readonly<Record<string, string>> = {
    ECONNREFUSED:
      'Nothing listens at that port: is Lustre started there, is the port right (988), or does a firewall refuse?',
    ETIMEDOUT: 'Nothing answers: is the node up and the address right, or does a firewall drop the packets?',
    EHOSTUNREACH: 'There is no route to that address from here',
    ENETUNREACH: 'There is no route to that network from here',
    ECONNRESET:
      'The node ended the connection at once: kernel servers take clients from reserved ports only (be root, or have CAP_NET_BIND_SERVICE)',
    EPROTO: 'What listens there is another NID, or no LNet: is the address mapped to the right node?',
  };
  return hints[code];
}

const ok = (step: string, text: string): Finding => ({ result: 'ok', step, text });

function failed(step: string, error: unknown, fallback?: string): Finding {
  const { message, hint } = error as Error & { hint?: string };
  const advice = fallback ?? hint;
  return { result: 'failed', step, text: message, ...(advice !== undefined && { hint: advice }) };
}
