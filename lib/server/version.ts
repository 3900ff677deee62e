/** The version that our servers announce (guide 05 §2.1): 2.17.0, whose wire they speak. */
export const LUSTRE_VERSION = 0x02110000;
