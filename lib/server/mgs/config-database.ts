/**
 * The MGS's memory: which targets each file system has, and the configuration logs made of them (guide 14 §3 to §6). Logs
 * only grow, because clients go on reading from the last index they have: a block that no longer holds becomes SKIP in
 * place and its successor is appended.
 */

import { configMarker, decodeConfigRecord, encodeConfigRecord } from '../../config/config-record.ts';
import {
  appendRecords,
  createLog,
  findLog,
  type LogId,
  readRecords,
  replaceRecord,
} from '../../llog/plain-log.ts';
import { ConfigCommand, MarkerFlag } from '../../wire/connection-constants.ts';
import { CfgMarker } from '../../wire/connection-structs.ts';
import { LlogRecType } from '../../wire/llog-constants.ts';
import type { KeyValueStore, Transaction, WritableTable } from '../store/key-value-store.ts';
import {
  addMdc,
  addMdt,
  addOsc,
  addOsp,
  addOst,
  blockRecords,
  type ConfigBlock,
  clientLogName,
  lmvSetup,
  lovSetup,
  mountOptions,
  type RegisteredTarget,
  setParam,
  targetName,
} from './config-blocks.ts';

/** Tables that the MGS keeps in its store. */
export const MGS_TABLES: readonly string[] = ['llogs', 'registrations'];
export const LLOG_TABLE = 'llogs';
const REGISTRATIONS = 'registrations';
const PARAMS_LOG = 'params';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Configuration logs and registrations in a store. Every call that changes something is one transaction. */
export class ConfigDatabase {
  readonly #store: KeyValueStore;
  readonly #version: number;
  readonly #now: () => bigint;

  /** `version` goes into markers (cm_vers); `now` is seconds since the epoch. */
  constructor(store: KeyValueStore, version: number, now: () => bigint) {
    this.#store = store;
    this.#version = version;
    this.#now = now;
  }

  /** Makes what every MGS has: the empty `params` log, as a kernel MGS does when it is first asked for. */
  async prepare(): Promise<void> {
    await this.#store.transact((transaction) => {
      const table = transaction.table(LLOG_TABLE);
      if (findLog(table, PARAMS_LOG) === undefined) createLog(table, PARAMS_LOG, this.#now());
    });
  }

  /** Targets of a file system by index. */
  targets(fsname: string, kind: 'mdt' | 'ost'): RegisteredTarget[] {
    return targetsOf(this.#store.table(REGISTRATIONS), fsname, kind);
  }

  /**
   * Enters a target, or its new NIDs. Resolves with whether a log has changed once that is on disk.
   */
  register(fsname: string, target: RegisteredTarget): Promise<boolean> {
    return this.#store.transact((transaction) => this.#register(transaction, fsname, target));
  }

  /** Sets a parameter for all clients, `osc.*.max_dirty_mb=64`: its last value is the one that counts. */
  setParam(parameter: string): Promise<void> {
    return this.#store.transact((transaction) =>
      new LogWriter(transaction, PARAMS_LOG, this.#version, this.#now()).setParam(parameter),
    );
  }

  #register(transaction: Transaction, fsname: string, target: RegisteredTarget): boolean {
    const table = transaction.table(REGISTRATIONS);
    const key = targetKey(fsname, target.kind, target.index);
    const known = table.get(key);
    const value = JSON.stringify(target);
    if (known !== undefined && decoder.decode(known) === value) return false;
    table.put(key, encoder.encode(value));
    const writer = new LogWriter(transaction, fsname, this.#version, this.#now());
    if (known !== undefined) writer.supersede(target);
    if (target.kind === 'mdt') writer.addMdt(target, known === undefined);
    else writer.addOst(target, known === undefined);
    return true;
  }
}

/** Writes the blocks of one registration into the logs that need them. */
class LogWriter {
  readonly #logs: WritableTable;
  readonly #registrations: WritableTable;
  readonly #fsname: string;
  readonly #version: number;
  readonly #time: bigint;

  constructor(transaction: Transaction, fsname: string, version: number, time: bigint) {
    this.#logs = transaction.table(LLOG_TABLE);
    this.#registrations = transaction.table(REGISTRATIONS);
    this.#fsname = fsname;
    this.#version = version;
    this.#time = time;
  }

  addMdt(mdt: RegisteredTarget, first: boolean): void {
    const name = targetName(this.#fsname, 'mdt', mdt.index);
    const others = this.#all('mdt').filter((other) => other.index !== mdt.index);
    if (first) {
      const lov = `${name}-mdtlov`;
      this.#append(name, lovSetup(lov, lov), addMdt(this.#fsname, mdt.index));
    }
    this.#startClientLog();
    if (!this.#hasBlock(clientLogName(this.#fsname), 'mount opts'))
      this.#append(clientLogName(this.#fsname), mountOptions(this.#fsname));
    this.#append(clientLogName(this.#fsname), addMdc(this.#fsname, mdt));
    for (const other of others) {
      this.#append(targetName(this.#fsname, 'mdt', other.index), addOsp(this.#fsname, mdt, other.index));
      if (first) this.#append(name, addOsp(this.#fsname, other, mdt.index));
    }
    if (first) for (const ost of this.#all('ost')) this.#append(name, addOsc(this.#fsname, ost, mdt.index));
  }

  addOst(ost: RegisteredTarget, first: boolean): void {
    const name = targetName(this.#fsname, 'ost', ost.index);
    if (first) this.#append(name, addOst(this.#fsname, ost.index));
    for (const mdt of this.#all('mdt'))
      this.#append(targetName(this.#fsname, 'mdt', mdt.index), addOsc(this.#fsname, ost, mdt.index));
    this.#startClientLog();
    this.#append(clientLogName(this.#fsname), addOsc(this.#fsname, ost));
  }

  /** Marks the blocks that tell others where the target is as superseded. */
  supersede(target: RegisteredTarget): void {
    const name = targetName(this.#fsname, target.kind, target.index);
    const mdtLogs = this.#all('mdt').map((mdt) => targetName(this.#fsname, 'mdt', mdt.index));
    for (const log of [clientLogName(this.#fsname), ...mdtLogs]) {
      const id = findLog(this.#logs, log);
      if (id !== undefined) this.#skipBlocks(id, name, ['add mdc', 'add osc', 'add osp']);
    }
  }

  setParam(parameter: string): void {
    const block = setParam(parameter);
    const id = findLog(this.#logs, PARAMS_LOG);
    if (id !== undefined) this.#skipBlocks(id, block.target, [block.comment]);
    this.#append(PARAMS_LOG, block);
  }

  #skipBlocks(log: LogId, target: string, comments: readonly string[]): void {
    for (const record of [...readRecords(this.#logs, log)]) {
      const config = decodeConfigRecord(record);
      if (config.command !== ConfigCommand.LCFG_MARKER) continue;
      const marker = configMarker(config);
      const superseded = (marker.cm_flags & MarkerFlag.CM_SKIP) !== 0;
      if (superseded || marker.cm_tgtname !== target || !comments.includes(marker.cm_comment)) continue;
      const changed = CfgMarker.encode({
        ...marker,
        cm_flags: marker.cm_flags | MarkerFlag.CM_SKIP,
        cm_canceltime: this.#time,
      });
      const payload = encodeConfigRecord(ConfigCommand.LCFG_MARKER, ['', changed]);
      replaceRecord(this.#logs, log, record.index, payload);
    }
  }

  #startClientLog(): void {
    const log = clientLogName(this.#fsname);
    if (findLog(this.#logs, log) !== undefined) return;
    const lov = `${this.#fsname}-clilov`;
    this.#append(log, lovSetup(lov, lov), lmvSetup(`${this.#fsname}-clilmv`));
  }

  #hasBlock(log: string, comment: string): boolean {
    const id = findLog(this.#logs, log);
    if (id === undefined) return false;
    return [...readRecords(this.#logs, id)].some((record) => {
      const config = decodeConfigRecord(record);
      return config.command === ConfigCommand.LCFG_MARKER && configMarker(config).cm_comment === comment;
    });
  }

  #append(log: string, ...blocks: ConfigBlock[]): void {
    const id = findLog(this.#logs, log) ?? createLog(this.#logs, log, this.#time);
    for (const block of blocks) {
      const records = blockRecords(block, this.#nextStep(), this.#time, this.#version);
      const type = LlogRecType.OBD_CFG_REC;
      appendRecords(
        this.#logs,
        id,
        records.map((payload) => ({ type, payload })),
      );
    }
  }

  /** cm_step: one counter per file system, shared by its logs. */
  #nextStep(): number {
    const key = encoder.encode(`step/${this.#fsname}`);
    const last = this.#registrations.get(key);
    const step = (last === undefined ? 0 : Number(decoder.decode(last))) + 1;
    this.#registrations.put(key, encoder.encode(String(step)));
    return step;
  }

  #all(kind: 'mdt' | 'ost'): RegisteredTarget[] {
    return targetsOf(this.#registrations, this.#fsname, kind);
  }
}

function targetKey(fsname: string, kind: string, index: number): Uint8Array {
  return encoder.encode(`target/${fsname}/${kind}/${index.toString(16).padStart(4, '0')}`);
}

function targetsOf(
  table: { range: WritableTable['range'] },
  fsname: string,
  kind: 'mdt' | 'ost',
): RegisteredTarget[] {
  const start = encoder.encode(`target/${fsname}/${kind}/`);
  const end = encoder.encode(`target/${fsname}/${kind}0`);
  return [...table.range(start, end)].map(
    ({ value }) => JSON.parse(decoder.decode(value)) as RegisteredTarget,
  );
}
