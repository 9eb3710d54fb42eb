//! Odd JPEG files, written byte by byte for the tests: blocks without detail, in any sampling, order and wrapping.

use super::Pixels;

/// Bits of the DC codes of the usual luminance table (ITU-T T.81, K.3), by length; their symbols are 0 to 11 in order.
const DC_LENGTHS: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
const DC_CODES: [(u32, u32); 9] = [(0, 2), (2, 3), (3, 3), (4, 3), (5, 3), (6, 3), (14, 4), (30, 5), (62, 6)];
/// The usual code for the end of a block, of four bits, also where the whole AC table is cut down to it and some longer ones.
const AC_LENGTHS: [u8; 16] = [0, 2, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const AC_SYMBOLS: [u8; 6] = [0x01, 0x02, 0x03, 0x00, 0x04, 0x11];
const END_OF_BLOCK: (u32, u32) = (0b1010, 4);

/// A part of a colour: its id and how often it is sampled.
#[derive(Clone, Copy)]
pub struct Part {
    pub id: u8,
    pub across: u8,
    pub down: u8,
}

/// A file to be written.
#[derive(Clone)]
pub struct Odd {
    pub width: u16,
    pub height: u16,
    pub parts: Vec<Part>,
    /// Which parts each scan holds.
    pub scans: Vec<Vec<usize>>,
    /// Units between restart markers; 0: none.
    pub restart: u16,
    /// The colour transform that an Adobe marker names.
    pub adobe: Option<u8>,
    pub wide_quantization: bool,
    pub huffman_tables: bool,
    pub frame_marker: u8,
    pub precision: u8,
    /// What the frame header says instead of the true sides.
    pub stated: Option<(u16, u16)>,
    /// Fill bytes before each marker.
    pub fill: usize,
    /// Bytes between segments.
    pub garbage: Vec<u8>,
}

impl Odd {
    /// Y, Cb and Cr, of which the first is sampled so often.
    pub fn colour(width: u16, height: u16, across: u8, down: u8) -> Self {
        let part = |id, across, down| Part { id, across, down };
        Self::of(width, height, vec![part(1, across, down), part(2, 1, 1), part(3, 1, 1)])
    }

    pub fn grey(width: u16, height: u16) -> Self {
        Self::of(width, height, vec![Part { id: 1, across: 1, down: 1 }])
    }

    pub fn of(width: u16, height: u16, parts: Vec<Part>) -> Self {
        Self {
            width,
            height,
            scans: vec![(0..parts.len()).collect()],
            parts,
            restart: 0,
            adobe: None,
            wide_quantization: false,
            huffman_tables: true,
            frame_marker: 0xC0,
            precision: 8,
            stated: None,
            fill: 0,
            garbage: Vec::new(),
        }
    }

    /// Each part in a scan of its own.
    pub fn apart(mut self) -> Self {
        self.scans = (0..self.parts.len()).map(|part| vec![part]).collect();
        self
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut file = vec![0xFF, 0xD8];
        if let Some(transform) = self.adobe {
            self.segment(&mut file, 0xEE, &[b"Adobe\0\x64\0\0\0\0".as_slice(), &[transform]].concat());
        }
        let tables = if self.wide_quantization {
            [vec![0x10], [0, 8].repeat(64)].concat()
        } else {
            [vec![0x00], vec![8; 64]].concat()
        };
        self.segment(&mut file, 0xDB, &tables);
        let (width, height) = self.stated.unwrap_or((self.width, self.height));
        let mut frame = vec![self.precision];
        frame.extend([height.to_be_bytes(), width.to_be_bytes()].concat());
        frame.push(self.parts.len() as u8);
        frame.extend(self.parts.iter().flat_map(|part| [part.id, part.across << 4 | part.down, 0]));
        self.segment(&mut file, self.frame_marker, &frame);
        if self.huffman_tables {
            let dc: Vec<u8> = (0..12).collect();
            self.segment(&mut file, 0xC4, &[&[0x00], DC_LENGTHS.as_slice(), &dc].concat());
            self.segment(&mut file, 0xC4, &[&[0x10], AC_LENGTHS.as_slice(), &AC_SYMBOLS].concat());
        }
        if self.restart > 0 {
            self.segment(&mut file, 0xDD, &self.restart.to_be_bytes());
        }
        for scan in &self.scans {
            let mut header = vec![scan.len() as u8];
            header.extend(scan.iter().flat_map(|part| [self.parts[*part].id, 0x00]));
            header.extend([0, 63, 0]);
            self.segment(&mut file, 0xDA, &header);
            self.scan(&mut file, scan);
        }
        self.marker(&mut file, 0xD9);
        file
    }

    /// The picture, where each part's blocks lie as they are written, without smoothing; of one part grey, of three YCbCr.
    pub fn truth(&self) -> Pixels {
        let widest = self.parts.iter().map(|part| u32::from(part.across)).max().unwrap_or(1);
        let tallest = self.parts.iter().map(|part| u32::from(part.down)).max().unwrap_or(1);
        let (width, height) = (u32::from(self.width), u32::from(self.height));
        let mut rgb = Vec::new();
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let sample = |place: usize| {
                let part = &self.parts[place];
                let at = (x * u32::from(part.across) / widest / 8, y * u32::from(part.down) / tallest / 8);
                level(place, at) as f32
            };
            let luma = 128.0 + sample(0);
            let (blue, red) = if self.parts.len() == 3 { (sample(1), sample(2)) } else { (0.0, 0.0) };
            let channels = [luma + 1.402 * red, luma - 0.344_136 * blue - 0.714_136 * red, luma + 1.772 * blue];
            rgb.extend(channels.map(|channel| channel.round().clamp(0.0, 255.0) as u8));
        }
        Pixels { width, height, rgb }
    }

    fn marker(&self, file: &mut Vec<u8>, marker: u8) {
        file.resize(file.len() + self.fill, 0xFF);
        file.extend([0xFF, marker]);
    }

    fn segment(&self, file: &mut Vec<u8>, marker: u8, content: &[u8]) {
        file.extend(&self.garbage);
        self.marker(file, marker);
        file.extend((content.len() as u16 + 2).to_be_bytes());
        file.extend(content);
    }

    fn scan(&self, file: &mut Vec<u8>, scan: &[usize]) {
        let widest = self.parts.iter().map(|part| u32::from(part.across)).max().unwrap_or(1);
        let tallest = self.parts.iter().map(|part| u32::from(part.down)).max().unwrap_or(1);
        // A scan of one part has its blocks one by one, and none beyond the picture; else they come in units.
        let single = scan.len() == 1;
        let own = |part: &Part| (u32::from(part.across), u32::from(part.down));
        let blocks = |side: u16, times: u32, most: u32| (u32::from(side) * times).div_ceil(most).div_ceil(8);
        let (columns, rows) = if single {
            let (across, down) = own(&self.parts[scan[0]]);
            (blocks(self.width, across, widest), blocks(self.height, down, tallest))
        } else {
            (u32::from(self.width).div_ceil(8 * widest), u32::from(self.height).div_ceil(8 * tallest))
        };
        let mut bits = Bits::default();
        let mut last = vec![0; self.parts.len()];
        for unit in 0..columns * rows {
            if self.restart > 0 && unit > 0 && unit.is_multiple_of(u32::from(self.restart)) {
                bits.end(file);
                let number = (unit / u32::from(self.restart) - 1) % 8;
                self.marker(file, 0xD0 + number as u8);
                last.fill(0);
            }
            let (column, row) = (unit % columns, unit / columns);
            for place in scan {
                let (across, down) = if single { (1, 1) } else { own(&self.parts[*place]) };
                for block in 0..across * down {
                    let at = (column * across + block % across, row * down + block / across);
                    let level = level(*place, at);
                    bits.difference(level - last[*place]);
                    bits.push(END_OF_BLOCK);
                    last[*place] = level;
                }
            }
        }
        bits.end(file);
    }
}

/// How far a block is from mid-grey: slopes, so that a block at a wrong place shows.
fn level(part: usize, (column, row): (u32, u32)) -> i32 {
    let (column, row) = (column as i32, row as i32);
    match part {
        0 => (column * 17 + row * 29) % 160 - 80,
        1 => (column * 11 - row * 7) % 60,
        2 => (row * 13 - column * 5) % 60,
        _ => 90 - (column * 3 + row * 2) % 40,
    }
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    count: u32,
}

impl Bits {
    fn push(&mut self, (code, length): (u32, u32)) {
        for place in (0..length).rev() {
            self.pending = self.pending << 1 | (code >> place & 1);
            self.count += 1;
            if self.count == 8 {
                self.bytes.push(self.pending as u8);
                if self.pending == 0xFF {
                    self.bytes.push(0);
                }
                (self.pending, self.count) = (0, 0);
            }
        }
    }

    fn difference(&mut self, difference: i32) {
        let size = u32::BITS - difference.unsigned_abs().leading_zeros();
        self.push(DC_CODES[size as usize]);
        let value = if difference < 0 { difference - 1 } else { difference } as u32;
        self.push((value & ((1 << size) - 1), size));
    }

    /// Ones up to the next byte.
    fn end(&mut self, file: &mut Vec<u8>) {
        while self.count > 0 {
            self.push((1, 1));
        }
        file.append(&mut self.bytes);
    }
}
