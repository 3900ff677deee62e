/** The programs that benches compare with. Each says what is missing instead of failing the run. */
import { access, mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { output, type Running, start } from './measure.ts';

/** Congestion control of every stream here and of our own sockets. */
export const CONGESTION = 'cubic';

export async function has(program: string): Promise<boolean> {
  return output('sh', ['-c', `command -v ${program}`]).then(
    () => true,
    () => false,
  );
}

/** A port of 127.0.0.1 that nobody listens on: two runs at once must not talk to each other's servers. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

let built: Promise<string> | undefined;

/** Compiles peers/tcp_peer.c once a run. */
export function tcpPeer(): Promise<string> {
  built ??= (async () => {
    const source = await sourceFile('peers/tcp_peer.c');
    const binary = join(tmpdir(), `lustre-tcp-peer-${process.pid}`);
    await output('cc', ['-O3', '-o', binary, source]);
    return binary;
  })();
  return built;
}

/** Files that are not compiled lie in bench/, beside or above the compiled ones. */
export async function sourceFile(name: string): Promise<string> {
  const beside = fileURLToPath(new URL(name, import.meta.url));
  const found = await access(beside).then(
    () => true,
    () => false,
  );
  return found ? beside : fileURLToPath(new URL(`../../bench/${name}`, import.meta.url));
}

/** One stream; CPU in seconds. */
export interface Stream {
  readonly mbPerSecond: number;
  readonly senderCpu: number;
  readonly receiverCpu: number;
}

/** What iperf3 prints, as far as it is used: CPU in percent of the test's time. */
interface Iperf3Report {
  readonly end: {
    readonly sum_received: { readonly bits_per_second: number; readonly seconds: number };
    readonly cpu_utilization_percent: { readonly host_total: number; readonly remote_total: number };
  };
}

/** iperf3 over loopback with 1 MiB writes, one connection. */
export async function iperf3(port: number, bytes: number): Promise<Stream> {
  const server = start('iperf3', ['-s', '-1', '-B', '127.0.0.1', '-p', String(port), '--forceflush']);
  try {
    while (!(await server.line()).includes('listening')) {
      // Its banner comes first.
    }
    const text = await output('iperf3', [
      '-c',
      '127.0.0.1',
      '-p',
      String(port),
      '-C',
      CONGESTION,
      '-l',
      '1M',
      '-n',
      String(bytes),
      '-J',
    ]);
    const { sum_received, cpu_utilization_percent } = (JSON.parse(text) as Iperf3Report).end;
    return {
      mbPerSecond: sum_received.bits_per_second / 8e6,
      senderCpu: (cpu_utilization_percent.host_total / 100) * sum_received.seconds,
      receiverCpu: (cpu_utilization_percent.remote_total / 100) * sum_received.seconds,
    };
  } finally {
    await server.stop('SIGKILL');
  }
}

/** MB/s of the bare C stream: `messages` of 1 MiB through `buffers` buffers a side. */
export async function bareStream(port: number, buffers: number, messages: number): Promise<number> {
  const peer = await tcpPeer();
  const sink = start(peer, ['sink', String(port), String(buffers)]);
  await sink.line();
  const { seconds } = JSON.parse(
    await output(peer, ['stream', String(port), String(buffers), String(messages)]),
  ) as { seconds: number };
  await sink.stop();
  return (messages * 1.048576) / seconds;
}

/** Compiles peers/file_peer.c, or undefined where that is not possible. The caller removes it. */
export async function filePeer(): Promise<string | undefined> {
  const binary = join(tmpdir(), `lustre-file-peer-${process.pid}`);
  return output('cc', ['-O3', '-o', binary, await sourceFile('peers/file_peer.c'), '-lisal']).then(
    () => binary,
    () => undefined,
  );
}

export interface Floor {
  readonly seconds: number;
  readonly senderCpu: number;
  readonly receiverCpu: number;
}

/** `mib` MiB with CRC32C through bare C processes, from the file `give` into the file `take`; `-` is memory. */
export async function floor(
  peer: string,
  port: number,
  mib: number,
  take: string,
  give: string,
): Promise<Floor> {
  const taker = start(peer, ['take', String(port), take, '1']);
  await taker.line();
  const given = JSON.parse(await output(peer, ['give', String(port), give, '1', 'pread', String(mib)])) as {
    seconds: number;
    cpu: number;
  };
  const taken = JSON.parse(await taker.line()) as { cpu: number };
  await taker.stop();
  return { seconds: given.seconds, senderCpu: given.cpu, receiverCpu: taken.cpu };
}

export interface RoundTrips {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

/** The bare C ping-pong. */
export async function barePingPong(
  port: number,
  size: number,
  window: number,
  count: number,
): Promise<RoundTrips> {
  const peer = await tcpPeer();
  const echo = start(peer, ['echo', String(port), String(size)]);
  await echo.line();
  const text = await output(peer, ['pingpong', String(port), String(size), String(window), String(count)]);
  const { seconds, p50, p99 } = JSON.parse(text) as { seconds: number; p50: number; p99: number };
  await echo.stop();
  return { perSecond: count / seconds, p50, p99 };
}

/** nginx with PUT (dav) and GET of files in `dir`. */
export async function nginx(dir: string, port: number): Promise<Running> {
  const files = join(dir, 'files');
  await mkdir(files, { recursive: true, mode: 0o777 });
  const config = join(dir, 'nginx.conf');
  await writeFile(
    config,
    `daemon off; master_process off; pid ${dir}/nginx.pid; error_log ${dir}/error.log;
${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 64; }
http {
  access_log off; sendfile on; tcp_nodelay on; client_max_body_size 0; client_body_temp_path ${dir}/tmp;
  server { listen 127.0.0.1:${port}; location / { root ${files}; dav_methods PUT DELETE; } }
}
`,
  );
  return start('nginx', ['-c', config, '-e', `${dir}/error.log`]);
}

/** nfs-ganesha exporting `dir` as /bench over NFSv4 on `port`, for libnfs. */
export async function ganesha(dir: string, port: number): Promise<Running> {
  const core = `NFS_Port = ${port}; MNT_Port = ${await freePort()}; Protocols = 4; Bind_addr = 127.0.0.1;`;
  const [program, ...args] = await ganeshaCommand(dir, core, 4);
  return start(program!, args);
}

/** Where what is in a network of its own is reached from. */
export interface Enclosed {
  readonly server: Running;
  /** Runs a program there. */
  readonly inside: (program: string, args: readonly string[]) => Running;
  readonly url: string;
}

/**
 * The same over NFSv3, in a network of its own: ganesha must tell a portmapper, which listens on all addresses. (libnfs 4.0 cannot encode
 * an NFSv4 WRITE of more than a few KiB.) Ends with its process.
 */
export async function enclosedGanesha(dir: string): Promise<Enclosed> {
  const command = await ganeshaCommand(dir, 'NFS_Port = 2049; MNT_Port = 2050; Protocols = 3;', 3);
  const script = [
    'mount -t tmpfs run /run && mkdir /run/rpcbind && ip link set lo up || exit',
    // It changes its user, and with that forgets a signal for its parent's death; and its output would keep ours waiting.
    'rpcbind -f >/dev/null 2>&1 & portmapper=$!',
    '(tail --pid=$$ -f /dev/null; kill -9 $portmapper) >/dev/null 2>&1 &',
    'until rpcinfo -p >/dev/null 2>&1; do sleep 0.1; done',
    'exec "$@"',
  ].join('\n');
  const server = start('unshare', ['--net', '--mount', 'sh', '-c', script, 'sh', ...command]);
  const inside: Enclosed['inside'] = (program, args) =>
    start('nsenter', ['--target', String(server.child.pid), '--net', program, ...args]);
  const url = `nfs://127.0.0.1${join(dir, 'files')}?version=3&nfsport=2049&mountport=2050`;
  return { server, inside, url };
}

async function ganeshaCommand(dir: string, core: string, protocol: 3 | 4): Promise<string[]> {
  const files = join(dir, 'files');
  await mkdir(files, { recursive: true, mode: 0o777 });
  const config = join(dir, 'ganesha.conf');
  await writeFile(
    config,
    `NFS_CORE_PARAM { ${core} Enable_NLM = false; Enable_RQUOTA = false; }
NFSv4 { Graceless = true; RecoveryRoot = "${dir}/recovery"; }
EXPORT { Export_Id = 1; Path = "${files}"; Pseudo = "/bench"; Access_Type = RW; Squash = None; SecType = sys, none; Protocols = ${protocol}; FSAL { Name = VFS; } }
LOG { Default_Log_Level = CRIT; }
`,
  );
  return ['ganesha.nfsd', '-F', '-L', join(dir, 'ganesha.log'), '-f', config, '-p', join(dir, 'ganesha.pid')];
}
