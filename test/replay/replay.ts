/** Our client against a recording: virtual time, the clock set to the recording's, a step at a time. */

import { InlineEngine } from '../../lib/client/engine/inline-engine.ts';
import { Filesystem } from '../../lib/client/filesystem.ts';
import { connectSession } from '../../lib/client/mount/connect.ts';
import type { Session } from '../../lib/client/session.ts';
import { parseFid } from '../../lib/fid/fid.ts';
import { fidResource } from '../../lib/fid/resource.ts';
import type { BulkChecksumName } from '../../lib/lnet/network.ts';
import { createSimulation } from '../../lib/sim/simulation.ts';
import type { Damage } from './callback-player.ts';
import { type Recording, readRecording, type Step } from './recording.ts';

export { RecordingEnds } from './replay-peer.ts';

import { ReplayPeer } from './replay-peer.ts';

export interface Replay {
  readonly recording: Recording;
  readonly peer: ReplayPeer;
  readonly session: Session;
  readonly filesystem: Filesystem;
  /** The second mount of the notes, where `mounts` is 2. */
  readonly second: Filesystem;
  /** Goes on to the step with this in its commands, and does what they document. */
  step<T>(command: string, work: () => Promise<T>): Promise<T>;
  /** Goes on within the step, to what the kernel client asked between two frames. */
  between<T>(first: number, last: number, work: () => Promise<T>): Promise<T>;
  /** The servers are started again behind `frame`, and forget what they had not on disk; what they are asked until the step with
   * `command` is about that. */
  restart<T>(frame: number, command: string, work: () => Promise<T>): Promise<T>;
  /** What the notes do between many steps: gives all locks back, or those on the object with a FID. */
  dropLocks(fid?: string): Promise<void>;
}

export interface ReplayOptions {
  readonly damage?: Damage;
  /** Bulk comes behind the reply. */
  readonly replyFirst?: (kind: string) => boolean;
  readonly down?: string;
  /** The type of checksums; none unless given. */
  readonly checksums?: BulkChecksumName;
  /** Mount options. */
  readonly options?: string;
  /** How often the notes mount: the second time ours is another node, for a node of ours has one mount. */
  readonly mounts?: 1 | 2;
}

const SECOND = '10.0.2.116@tcp';

/** Mounts at the step that mounts, runs `work`, unmounts. */
export async function replay(
  path: string,
  work: (replay: Replay) => Promise<void>,
  { damage, replyFirst, down, options, checksums, mounts }: ReplayOptions = {},
): Promise<ReplayPeer> {
  const recording = await readRecording(path);
  const sim = createSimulation({ seed: 1 });
  const endpoint = await sim.network.open({ nid: recording.server });
  const peer = new ReplayPeer(recording, endpoint);
  if (damage !== undefined) peer.damage = damage;
  if (replyFirst !== undefined) peer.replyFirst = replyFirst;
  peer.down = down;
  const play = (async () => {
    let offset = 0;
    let at = -1;
    const enter = (command: string): Step => {
      const next = recording.steps.findIndex((step, i) => i > at && step.command.includes(command));
      if (next < 0) throw new Error(`${recording.name} has no step '${command}' behind step ${at}`);
      at = next;
      const step = recording.steps[next]!;
      offset = step.time + 1000 - sim.runtime.now();
      peer.enter(step);
      return step;
    };
    const { runtime } = sim;
    const clocked = {
      now: () => runtime.now(),
      wallTime: () => Math.floor(runtime.now() + offset),
      after: (ms: number, fire: () => void) => runtime.after(ms, fire),
      soon: (fire: () => void) => runtime.soon(fire),
      random: (n: number) => runtime.random(n),
      log: runtime.log,
    };
    enter('mount -t lustre');
    const mount = (nid: string): Promise<Session> =>
      connectSession(`${recording.server}:/lab`, {
        runtime: clocked,
        network: sim.network,
        nid,
        checksums: checksums ?? false,
        ...(options !== undefined && { options }),
      });
    const session = await mount(recording.client);
    const sessions = mounts === 2 ? [session, await mount(SECOND)] : [session];
    const filesystems = sessions.map((one) => new Filesystem(new InlineEngine(one), 'replayed', clocked));
    const [filesystem, second = filesystem] = filesystems as [Filesystem, Filesystem?];
    await work({
      recording,
      peer,
      session,
      filesystem,
      second,
      step: async (command, doIt) => {
        enter(command);
        return doIt();
      },
      between: async (first, last, doIt) => {
        const begin = recording.exchanges.find(({ frame }) => frame >= first);
        if (begin === undefined) throw new Error(`${recording.name} has nothing behind frame ${first}`);
        const end = recording.exchanges.find(({ frame }) => frame > last);
        peer.narrow(begin.time, end?.time);
        return doIt();
      },
      restart: async (frame, command, doIt) => {
        const first = recording.exchanges.find((exchange) => exchange.frame > frame);
        const until = recording.steps.find((step) => step.command.includes(command));
        if (first === undefined || until === undefined)
          throw new Error(`${recording.name} has nothing behind frame ${frame}, or no step '${command}'`);
        peer.restart({ command, time: first.time, until: until.time });
        return doIt();
      },
      dropLocks: async (fid) => {
        const resource = fid === undefined ? undefined : fidResource(parseFid(fid));
        const targets = sessions.flatMap(({ mdts, osts }) => [...mdts.values(), ...osts.values()]);
        for (const { locks } of targets) {
          const dropped = locks.locks.filter(
            (lock) => resource === undefined || resource.every((word, i) => word === lock.resource[i]),
          );
          await Promise.all(dropped.map((lock) => locks.cancel(lock)));
        }
      },
    });
    // Some notes have no step for the unmount: its requests stand behind the last one.
    peer.close(recording.steps.at(-1)!);
    for (const one of filesystems.toReversed()) await one.unmount();
    await endpoint.close();
    return peer;
  })();
  return sim.run(Promise.race([play, peer.broken]), { limitMs: 600_000 });
}
